"""One JSON file, written anew under another name and put in place at each answer; the
errors, the retries and the pace are those of the lessons."""

import asyncio
import json
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from robust_client.chat import find_text
from robust_client.errors import (
    APIConnectionError,
    RateLimitError,
    ServerError,
    checked_body,
    error_from_exception,
)
from robust_client.limits import RateLimiter
from robust_client.retry import retry_on_error

MAX_TOKENS = 100
PATIENCE = 3
PAUSE = 0.5


@dataclass(frozen=True)
class Provider:
    base_url: str
    api_key: str = field(repr=False)
    model: str
    price: int | None = None

    def cost(self, tokens):
        return -(-tokens * self.price // 1000)

    def most(self, prompt):
        return self.cost(len(prompt.encode()) + MAX_TOKENS)


class BudgetError(Exception):
    pass


class Store:
    """{"batch": a name that is unique, "done": {id: [answer, cost]}}"""

    def __init__(self, path):
        self.path = Path(path)
        if self.path.exists():
            self.content = json.loads(self.path.read_text("utf-8"))
        else:
            self.content = {"batch": uuid.uuid4().hex, "done": {}}
            self.write()

    def write(self):
        new = self.path.with_name(self.path.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(self.content, file)
        os.replace(new, self.path)

    def key(self, job):
        return str(uuid.uuid5(uuid.UUID(self.content["batch"]), job))

    def keep(self, job, answer, cost):
        self.content["done"][job] = [answer, cost]
        self.write()

    @property
    def answers(self):
        return {job: answer for job, (answer, _) in self.content["done"].items()}

    @property
    def spent(self):
        return sum(cost for _, cost in self.content["done"].values())


@retry_on_error(max_retries=3, initial_delay=0.05, exceptions=RateLimitError)
async def ask(client, limiter, provider, key, prompt):
    await limiter.acquire_async()
    headers = {"Authorization": f"Bearer {provider.api_key}", "Idempotency-Key": key}
    messages = [{"role": "user", "content": prompt}]
    body = {"model": provider.model, "messages": messages, "max_tokens": MAX_TOKENS}
    url = f"{provider.base_url}/chat/completions"
    try:
        response = await client.post(url, headers=headers, json=body)
    except httpx.HTTPError as cause:
        raise error_from_exception(cause) from cause
    return checked_body(response)


async def run_batch(jobs, store, *, providers, budget, max_concurrency, rate):
    for provider in providers:
        if provider.price is None:
            raise ValueError(f"the price of {provider.model} is not known")
    if max_concurrency < 1:
        raise ValueError("max_concurrency must be 1 or more")
    limiter = RateLimiter(rate, 1.0)
    kept = Store(store)
    results = dict(kept.answers)
    waiting = [(job, prompt) for job, prompt in jobs.items() if job not in results]
    queue = iter(waiting)
    reserved = failures = 0
    pause_ends = 0.0

    async def pay(client, provider, job, prompt):
        nonlocal reserved
        most = provider.most(prompt)
        if kept.spent + reserved + most > budget:
            raise BudgetError(f"{provider.model} may cost {most}")
        reserved += most
        try:
            reply = await ask(client, limiter, provider, kept.key(job), prompt)
            answer = find_text(reply) or ""
            kept.keep(job, answer, provider.cost(reply["usage"]["total_tokens"]))
        finally:
            reserved -= most
        return answer

    async def do(client, job, prompt):
        nonlocal failures, pause_ends
        if failures < PATIENCE or time.monotonic() >= pause_ends:
            pause_ends = time.monotonic() + PAUSE
            try:
                answer = await pay(client, providers[0], job, prompt)
            except (ServerError, APIConnectionError):
                failures += 1
                pause_ends = time.monotonic() + PAUSE
            else:
                failures = 0
                return answer
        return await pay(client, providers[1], job, prompt)

    async def worker(client):
        for job, prompt in queue:
            try:
                results[job] = await do(client, job, prompt)
            except Exception as error:
                results[job] = error

    async with (
        httpx.AsyncClient(timeout=30) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(max_concurrency):
            group.create_task(worker(client))
    return {job: results[job] for job in jobs}
