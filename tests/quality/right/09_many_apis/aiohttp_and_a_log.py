"""A log to which lines are appended, with a half line at its end cut off at the start;
aiohttp, a semaphore, and a key made of the log's name and the job."""

import asyncio
import hashlib
import json
import secrets
import time
from collections import deque
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
        return -(-tokens * self.price // 1000)

    def most(self, prompt):
        return self.cost(len(prompt.encode()) + MAX_TOKENS)


class BudgetError(Exception):
    pass


class APIError(Exception):
    def __init__(self, status, message, retry_after=None):
        super().__init__(f"{status}: {message}")
        self.status, self.retry_after = status, retry_after


class Log:
    def __init__(self, path):
        self.file = open(path, "a+b")  # noqa: SIM115 - open as long as the batch runs
        self.file.seek(0)
        whole, self.lines = 0, []
        for line in self.file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            self.lines.append(json.loads(line))
        self.file.truncate(whole)
        if not self.lines:
            self.append({"name": secrets.token_hex()})
        self.name = self.lines[0]["name"]

    def append(self, line):
        self.file.write(json.dumps(line).encode() + b"\n")
        self.file.flush()  # it is the system's now, which outlives a kill
        self.lines.append(line)

    def key(self, job):
        return hashlib.sha256(f"{self.name} {job}".encode()).hexdigest()


class Window:
    """The last starts of the second before now."""

    def __init__(self, rate):
        self.rate, self.starts, self.lock = rate, deque(), asyncio.Lock()

    async def enter(self):
        async with self.lock:  # who waits is in line here
            if len(self.starts) == self.rate:
                wait = self.starts.popleft() + 1.0 - time.monotonic()
                await asyncio.sleep(max(0.0, wait) + 0.002)
            self.starts.append(time.monotonic())


async def post(session, provider, key, prompt):
    body = {
        "model": provider.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": MAX_TOKENS,
    }
    headers = {"Authorization": f"Bearer {provider.api_key}", "Idempotency-Key": key}
    url = provider.base_url + "/chat/completions"
    async with session.post(url, json=body, headers=headers) as response:
        if response.status >= 300:
            wait = response.headers.get("Retry-After")
            raise APIError(
                response.status,
                (await response.text())[:200],
                None if wait is None else float(wait),
            )
        return await response.json()


async def ask(session, window, provider, key, prompt):
    tries = 0
    while True:
        await window.enter()
        try:
            return await post(session, provider, key, prompt)
        except APIError as error:
            tries += 1
            if error.status != 429 or error.retry_after is None or tries > 3:
                raise
            await asyncio.sleep(error.retry_after)


def is_outage(error):
    if isinstance(error, APIError):
        return error.status >= 500
    return isinstance(error, aiohttp.ClientConnectionError | TimeoutError)


class Health:
    failures = 0
    next_try = 0.0

    def is_ill(self):
        if self.failures >= PATIENCE and time.monotonic() < self.next_try:
            return True
        self.next_try = time.monotonic() + PAUSE
        return False

    def fails(self):
        self.failures += 1
        self.next_try = time.monotonic() + PAUSE


async def run_batch(jobs, store, *, providers, budget, max_concurrency, rate):
    if any(one.price is None for one in providers) or max_concurrency < 1 or rate < 1:
        raise ValueError("prices must be known, and limits at least 1")
    log, window, health = Log(store), Window(rate), Health()
    results = {line["job"]: line["answer"] for line in log.lines[1:]}
    left = budget - sum(line["cost"] for line in log.lines[1:])
    slots = asyncio.Semaphore(max_concurrency)

    async def pay(session, provider, job):
        nonlocal left
        most = provider.most(jobs[job])
        if most > left:
            raise BudgetError(left)
        left -= most
        try:
            reply = await ask(session, window, provider, log.key(job), jobs[job])
        except BaseException:
            left += most
            raise
        cost = provider.cost(reply["usage"]["total_tokens"])
        left += most - cost
        answer = reply["choices"][0]["message"]["content"] or ""
        log.append({"job": job, "answer": answer, "cost": cost})
        return answer

    async def do(session, job):
        for number, provider in enumerate(providers):
            if number == 0 and health.is_ill():
                continue
            try:
                results[job] = await pay(session, provider, job)
                if number == 0:
                    health.failures = 0
            except Exception as error:
                results[job] = error
                if is_outage(error) and number == 0:
                    health.fails()
                    continue
            return

    async def do_in_turn(session, job):
        try:
            await do(session, job)
        finally:
            slots.release()

    timeout = aiohttp.ClientTimeout(total=60)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for job in [job for job in jobs if job not in results]:
                await slots.acquire()
                group.create_task(do_in_turn(session, job))
    finally:
        log.file.close()
    return {job: results[job] for job in jobs}
