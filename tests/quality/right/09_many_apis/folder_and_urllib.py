"""The standard library alone: urllib, and a folder with a file for each answer."""

import asyncio
import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

MAX_TOKENS, PATIENCE, PAUSE = 100, 3, 0.5


@dataclass(frozen=True)
class Provider:
    base_url: str
    api_key: str
    model: str
    price: int | None = None

    def cost(self, tokens):
        return -(-tokens * self.price // 1000)

    def most(self, prompt):
        return self.cost(len(prompt.encode()) + MAX_TOKENS)


class BudgetError(Exception):
    pass


def write(path, text):
    """Put a whole file in place, or none."""
    half = path.with_suffix(".half")
    half.write_text(text, "utf-8")
    os.replace(half, path)


class Folder:
    def __init__(self, path):
        self.path = Path(path)
        self.path.mkdir(exist_ok=True)

    def file(self, job, ending):
        name = base64.urlsafe_b64encode(job.encode()).decode()
        return self.path / f"{name}.{ending}"

    def key(self, job):
        path = self.file(job, "key")
        if not path.exists():
            write(path, uuid.uuid4().hex)
        return path.read_text("utf-8")

    def keep(self, job, answer, cost):
        write(self.file(job, "json"), json.dumps([job, answer, cost]))

    def read(self):
        texts = [path.read_text("utf-8") for path in self.path.glob("*.json")]
        return [json.loads(text) for text in texts]


def send(provider, key, prompt):
    """Send one request and return the reply; urllib raises an HTTPError from 400 on."""
    body = {
        "model": provider.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": MAX_TOKENS,
    }
    headers = {
        "Authorization": f"Bearer {provider.api_key}",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    url, data = f"{provider.base_url}/chat/completions", json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method="POST")
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


async def ask(pace, provider, key, prompt):
    for tries_left in range(3, -1, -1):
        await pace()
        try:
            return await asyncio.to_thread(send, provider, key, prompt)
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After")
            if error.code != 429 or wait is None or not tries_left:
                raise
            await asyncio.sleep(float(wait))


def is_outage(error):
    """HTTPError is a URLError, which is an OSError, as a broken connection is."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500
    return isinstance(error, OSError | http.client.HTTPException)


def make_pace(rate):
    starts = []

    async def pace():
        while True:
            now = time.monotonic()
            last = [start for start in starts if start > now - 1]
            if len(last) < rate:
                starts[:] = [*last, now]
                return
            await asyncio.sleep(0.01)

    return pace


def check(providers, max_concurrency, rate):
    if any(provider.price is None for provider in providers):
        raise ValueError("a provider without a price")
    for limit in (max_concurrency, rate):
        if limit < 1:
            raise ValueError(f"a limit of {limit}")


async def run_batch(jobs, store, *, providers, budget, max_concurrency, rate):
    check(providers, max_concurrency, rate)
    folder, pace = Folder(store), make_pace(rate)
    kept = folder.read()
    results = {job: answer for job, answer, _ in kept}
    money = {"spent": sum(cost for *_, cost in kept), "reserved": 0}
    health = {"failures": 0, "until": 0.0}
    queue = asyncio.Queue()
    for job in jobs:
        if job not in results:
            queue.put_nowait(job)

    async def pay(provider, job):
        most = provider.most(jobs[job])
        if sum(money.values()) + most > budget:
            raise BudgetError(money)
        money["reserved"] += most
        try:
            reply = await ask(pace, provider, folder.key(job), jobs[job])
            cost = provider.cost(reply["usage"]["total_tokens"])
            money["spent"] += cost
        finally:
            money["reserved"] -= most
        answer = reply["choices"][0]["message"]["content"] or ""
        folder.keep(job, answer, cost)
        return answer

    async def first_then_second(job):
        is_down = health["failures"] >= PATIENCE
        if is_down and time.monotonic() < health["until"]:
            return await pay(providers[1], job)
        health["until"] = time.monotonic() + PAUSE
        try:
            answer = await pay(providers[0], job)
            health["failures"] = 0
            return answer
        except Exception as error:
            if not is_outage(error):
                raise
            health["failures"] += 1
            health["until"] = time.monotonic() + PAUSE
            return await pay(providers[1], job)

    async def worker():
        while not queue.empty():
            job = queue.get_nowait()
            try:
                results[job] = await first_then_second(job)
            except Exception as error:
                results[job] = error

    await asyncio.gather(*(worker() for _ in range(max_concurrency)))
    return {job: results[job] for job in jobs}
