"""Workers, one aiohttp session and SQLite, with nothing of the lessons' package."""

import asyncio
import json
import sqlite3
import time
import uuid
from collections import deque
from contextlib import closing
from dataclasses import dataclass

import aiohttp

MAX_TOKENS, PATIENCE, PAUSE = 100, 3, 0.5


@dataclass
class Provider:
    base_url: str
    api_key: str
    model: str
    price: int | None = None

    def cost(self, tokens):
        return (tokens * self.price + 999) // 1000

    def most(self, prompt):
        return self.cost(len(prompt.encode()) + MAX_TOKENS)


class BudgetError(Exception):
    pass


class Down(Exception):
    """The provider cannot answer now."""


async def send(session, provider, key, prompt):
    headers = {"Authorization": f"Bearer {provider.api_key}", "Idempotency-Key": key}
    body = {
        "model": provider.model,
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": prompt}],
    }
    url = provider.base_url + "/chat/completions"
    try:
        async with session.post(url, json=body, headers=headers) as response:
            content = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Down(f"no reply: {error}") from error
    if response.status >= 500:
        raise Down(f"status {response.status}")
    return response, content


class Batch:
    def __init__(self, session, db, providers, budget, rate):
        self.session, self.db, self.providers, self.rate = session, db, providers, rate
        spent = db.execute("SELECT COALESCE(SUM(cost), 0) FROM jobs").fetchone()[0]
        self.left = budget - spent
        self.starts = deque()
        self.failures, self.open_until = 0, 0.0

    async def wait_for_start(self):
        while True:
            now = time.monotonic()
            while self.starts and self.starts[0] + 1 <= now:
                self.starts.popleft()
            if len(self.starts) < self.rate:
                self.starts.append(now)
                return
            await asyncio.sleep(self.starts[0] + 1 - now)

    def key_of(self, job):
        with self.db:
            query = "INSERT OR IGNORE INTO jobs VALUES (?, ?, NULL, 0)"
            self.db.execute(query, (job, uuid.uuid4().hex))
        query = "SELECT key FROM jobs WHERE id = ?"
        return self.db.execute(query, (job,)).fetchone()[0]

    async def ask(self, provider, key, prompt):
        for tries_left in (3, 2, 1, 0):
            await self.wait_for_start()
            response, content = await send(self.session, provider, key, prompt)
            wait = response.headers.get("Retry-After")
            if response.status == 429 and wait and tries_left:
                await asyncio.sleep(float(wait))
            else:
                break
        response.raise_for_status()
        reply = json.loads(content)
        cost = provider.cost(reply["usage"]["total_tokens"])
        return reply["choices"][0]["message"]["content"] or "", cost

    async def pay(self, provider, job, prompt):
        most = provider.most(prompt)
        if most > self.left:
            raise BudgetError(f"{self.left} left, and {most} needed")
        self.left -= most
        cost = 0
        try:
            answer, cost = await self.ask(provider, self.key_of(job), prompt)
        finally:
            self.left += most - cost
        with self.db:
            query = "UPDATE jobs SET answer = ?, cost = ? WHERE id = ?"
            self.db.execute(query, (answer, cost, job))
        return answer

    def may_ask_first(self):
        if self.failures < PATIENCE:
            return True
        if time.monotonic() < self.open_until:
            return False
        self.open_until = time.monotonic() + PAUSE
        return True

    async def do(self, job, prompt):
        first, second = self.providers
        if self.may_ask_first():
            try:
                answer = await self.pay(first, job, prompt)
                self.failures = 0
                return answer
            except Down:
                self.failures += 1
                self.open_until = time.monotonic() + PAUSE
        return await self.pay(second, job, prompt)


async def run_batch(jobs, store, *, providers, budget, max_concurrency, rate):
    if any(provider.price is None for provider in providers):
        raise ValueError("a price is missing")
    if max_concurrency < 1 or rate < 1:
        raise ValueError("both limits must be 1 or more")
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA synchronous = OFF")  # a kill does not need the disk
        db.execute(
            "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, key, answer, cost)"
        )
        query = "SELECT id, answer FROM jobs WHERE answer IS NOT NULL"
        results = dict(db.execute(query))
        todo = iter([job for job in jobs if job not in results])

        async def work(batch):
            for job in todo:
                try:
                    results[job] = await batch.do(job, jobs[job])
                except Exception as error:
                    results[job] = error

        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            batch = Batch(session, db, providers, budget, rate)
            await asyncio.gather(*[work(batch) for _ in range(max_concurrency)])
    return {job: results[job] for job in jobs}
