"""Threads with a requests session each, and SQLite behind a lock."""

import asyncio
import sqlite3
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import requests

MAX_TOKENS, PATIENCE, PAUSE = 100, 3, 0.5


@dataclass(frozen=True)
class Provider:
    base_url: str
    api_key: str
    model: str
    price: int | None = None

    def cost(self, tokens: int) -> int:
        return -(-tokens * self.price // 1000)

    def most(self, prompt: str) -> int:
        return self.cost(len(prompt.encode()) + MAX_TOKENS)


class BudgetError(Exception):
    pass


class Ledger:
    """The store and the money; its methods can be called from any thread."""

    def __init__(self, path: str, jobs: list[str], budget: int) -> None:
        self.lock = threading.Lock()
        self.db = sqlite3.connect(path, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        with self.db:
            self.db.execute(
                "CREATE TABLE IF NOT EXISTS job"
                "(id TEXT PRIMARY KEY, key TEXT, text TEXT, cost INTEGER)"
            )
            self.db.executemany(
                "INSERT OR IGNORE INTO job VALUES (?, ?, NULL, 0)",
                [(job, str(uuid.uuid4())) for job in jobs],
            )
        rows = self.db.execute("SELECT id, key, text, cost FROM job").fetchall()
        self.keys = {job: key for job, key, _, _ in rows}
        self.texts = {job: text for job, _, text, _ in rows if text is not None}
        self.free = budget - sum(cost for *_, cost in rows)

    def reserve(self, most: int) -> None:
        with self.lock:
            if self.free < most:
                raise BudgetError(f"{self.free} micro-dollars are left")
            self.free -= most

    def release(self, amount: int) -> None:
        with self.lock:
            self.free += amount

    def save(self, job: str, text: str, cost: int) -> None:
        with self.lock, self.db:
            self.db.execute(
                "UPDATE job SET text = ?, cost = ? WHERE id = ?", (text, cost, job)
            )


class Pace:
    def __init__(self, rate: int) -> None:
        self.rate, self.lock, self.starts = rate, threading.Lock(), []

    def wait(self) -> None:
        """Book the next free start, and sleep until it comes."""
        with self.lock:
            now = time.monotonic()
            if len(self.starts) >= self.rate:
                now = max(now, self.starts[-self.rate] + 1.001)
            self.starts.append(now)
        time.sleep(max(0.0, now - time.monotonic()))


class Switch:
    def __init__(self) -> None:
        self.lock, self.failures, self.until = threading.Lock(), 0, 0.0

    def is_on(self) -> bool:
        with self.lock:
            now = time.monotonic()
            is_on = self.failures < PATIENCE or now >= self.until
            if is_on and self.failures >= PATIENCE:
                self.until = now + PAUSE
            return is_on

    def report(self, failed: bool) -> None:
        with self.lock:
            self.failures = self.failures + 1 if failed else 0
            self.until = time.monotonic() + PAUSE


class Unavailable(Exception):
    pass


def ask(session, pace, provider, key, prompt):
    for attempt in range(4):
        pace.wait()
        try:
            response = session.post(
                f"{provider.base_url}/chat/completions",
                headers={
                    "Authorization": f"Bearer {provider.api_key}",
                    "Idempotency-Key": key,
                },
                json={
                    "model": provider.model,
                    "messages": [{"role": "user", "content": prompt}],
                    "max_tokens": MAX_TOKENS,
                },
                timeout=(3, 30),
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Unavailable(str(error)) from error
        wait = response.headers.get("Retry-After", "")
        if response.status_code != 429 or not wait.isdecimal() or attempt == 3:
            break
        time.sleep(int(wait))
    if response.status_code >= 500:
        raise Unavailable(response.status_code)
    response.raise_for_status()
    reply = response.json()
    text = reply["choices"][0]["message"]["content"] or ""
    return text, provider.cost(reply["usage"]["total_tokens"])


def run(jobs, store, providers, budget, max_concurrency, rate):
    ledger = Ledger(store, list(jobs), budget)
    pace, switch, own = Pace(rate), Switch(), threading.local()

    def pay(provider, job):
        if not hasattr(own, "session"):
            own.session = requests.Session()
        most = provider.most(jobs[job])
        ledger.reserve(most)
        try:
            text, cost = ask(own.session, pace, provider, ledger.keys[job], jobs[job])
        except BaseException:
            ledger.release(most)
            raise
        ledger.release(most - cost)
        ledger.save(job, text, cost)
        return text

    def do(job):
        try:
            if switch.is_on():
                try:
                    text = pay(providers[0], job)
                    switch.report(failed=False)
                    return text
                except Unavailable:
                    switch.report(failed=True)
            return pay(providers[1], job)
        except Exception as error:
            return error

    results = dict(ledger.texts)
    todo = [job for job in jobs if job not in results]
    with closing(ledger.db), ThreadPoolExecutor(max_concurrency) as pool:
        results.update(zip(todo, pool.map(do, todo), strict=True))
    return {job: results[job] for job in jobs}


async def run_batch(jobs, store, *, providers, budget, max_concurrency, rate):
    if None in [provider.price for provider in providers]:
        raise ValueError("unknown price")
    if min(max_concurrency, rate) < 1:
        raise ValueError("limits begin at 1")
    options = (providers, budget, max_concurrency, rate)
    return await asyncio.to_thread(run, jobs, store, *options)
