"""Solution 09: a batch over two APIs that loses nothing, whenever it is killed.

SQLite keeps the answers: a commit is written whole or not at all, whatever kills the
process. A job's key is in the file before its first request, so every start sends the
same one. All that decides about money happens between two `await`s, where no other job
can come in between.

What lessons 05, 06 and 08 built is used as it is: the error for each failure, the wait
after a 429, and the rate limit.
"""

import asyncio
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx
from robust_client.batch import TIMEOUT
from robust_client.chat import find_text
from robust_client.errors import (
    APIConnectionError,
    RateLimitError,
    ServerError,
    checked_body,
    error_from_exception,
)
from robust_client.keys import tidy_key
from robust_client.limits import RateLimiter
from robust_client.replies import FAILURES
from robust_client.retry import retry_on_error

MAX_TOKENS = 100  # of an answer: the max_tokens of every request
PATIENCE = 3  # further: failures in a row after which a provider is passed over
PAUSE = 0.5  # further: seconds for which it is passed over

ELSEWHERE = (ServerError, APIConnectionError)  # what the second provider may mend
obey_retry_after = retry_on_error(3, initial_delay=0.1, exceptions=RateLimitError)


@dataclass(frozen=True)
class Provider:
    """An API that is compatible with OpenAI's, and its price.

    price: micro-dollars for 1,000 tokens; None if it is not known.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str
    price: int | None = None

    def cost(self, tokens: int) -> int:
        """Return what this number of tokens costs, in micro-dollars, rounded up."""
        return -(-tokens * self.price // 1000)

    def most(self, prompt: str) -> int:
        """Return the most that a call can cost: a token has at least one byte."""
        return self.cost(len(prompt.encode()) + MAX_TOKENS)


class BudgetError(Exception):
    """There is less money left than a call can cost."""


async def send(
    http: httpx.AsyncClient, provider: Provider, key: str, prompt: str
) -> dict[str, Any]:
    """Send a request, and return the reply. Raises an APIError of lesson 05.

    key: the Idempotency-Key. A server that gets it twice carries it out, and charges
        for it, only once.
    """
    url = f"{provider.base_url.rstrip('/')}/chat/completions"
    bearer = f"Bearer {tidy_key(provider.api_key)}"
    headers = {"Authorization": bearer, "Idempotency-Key": key}
    body = {
        "model": provider.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": MAX_TOKENS,
    }
    try:
        response = await http.post(url, headers=headers, json=body)
    except FAILURES as cause:
        raise error_from_exception(cause) from cause
    return checked_body(response)


class Store:
    """What must outlive the process: each job's key, and its answer with its cost."""

    def __init__(self, path: str, ids: Iterable[str]) -> None:
        self._file = sqlite3.connect(path)
        with self._file:  # commits at its end
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS jobs "
                "(id TEXT PRIMARY KEY, key TEXT, answer TEXT, cost INTEGER DEFAULT 0)"
            )
            self._file.executemany(
                "INSERT OR IGNORE INTO jobs (id, key) VALUES (?, ?)",
                ((job, str(uuid.uuid4())) for job in ids),
            )

    def keys(self) -> dict[str, str]:
        """Return the Idempotency-Key of each job."""
        return dict(self._file.execute("SELECT id, key FROM jobs"))

    def answers(self) -> dict[str, str]:
        """Return the answers that are here."""
        query = "SELECT id, answer FROM jobs WHERE answer IS NOT NULL"
        return dict(self._file.execute(query))

    def spent(self) -> int:
        """Return what all answers have cost, in micro-dollars."""
        query = "SELECT COALESCE(SUM(cost), 0) FROM jobs"
        return self._file.execute(query).fetchone()[0]

    def keep(self, job: str, answer: str, cost: int) -> None:
        """Write down an answer; it is safe when this returns."""
        with self._file:
            change = "UPDATE jobs SET answer = ?, cost = ? WHERE id = ?"
            self._file.execute(change, (answer, cost, job))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Purse:
    """A budget, in micro-dollars: what is spent, and what calls under way may cost."""

    def __init__(self, budget: int, spent: int) -> None:
        self._left = budget - spent

    def take(self, most: int) -> None:
        """Set aside the most that a call can cost. Raises BudgetError."""
        if most > self._left:
            raise BudgetError(f"a call can cost {most}, and {self._left} is left")
        self._left -= most

    def give_back(self, amount: int) -> None:
        """Return what a call has not cost."""
        self._left += amount


class Breaker:
    """Says whether a provider may be asked, after what became of other calls."""

    def __init__(self) -> None:
        self._failures, self._open_until = 0, 0.0

    def allows_call(self) -> bool:
        """Say whether to ask; after a pause, only the first who wants to know may."""
        now = time.monotonic()
        if self._failures < PATIENCE:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + PAUSE  # for the others, until this call is over
        return True

    def note(self, is_good: bool) -> None:
        """Note how a call ended."""
        self._failures = 0 if is_good else self._failures + 1
        self._open_until = time.monotonic() + PAUSE


class Batch:
    """What all jobs of one start share."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        store: Store,
        providers: Sequence[Provider],
        budget: int,
        rate: int,
    ) -> None:
        self._http, self._store, self._providers = http, store, providers
        self._keys, self._purse = store.keys(), Purse(budget, store.spent())
        self._limiter, self._breaker = RateLimiter(rate, 1.0), Breaker()

    async def do(self, job: str, prompt: str) -> str:
        """Return the answer to a job; raise what it failed with."""
        first, second = self._providers
        if self._breaker.allows_call():
            try:
                answer = await self._pay(first, job, prompt)
            except ELSEWHERE:
                self._breaker.note(is_good=False)
            else:
                self._breaker.note(is_good=True)
                return answer
        return await self._pay(second, job, prompt)

    async def _pay(self, provider: Provider, job: str, prompt: str) -> str:
        """Return a provider's answer, once it is in the store and paid."""
        unspent = most = provider.most(prompt)
        self._purse.take(most)
        try:
            reply = await self._ask(provider, self._keys[job], prompt)
            cost = provider.cost(reply["usage"]["total_tokens"])
            unspent = most - cost
        finally:
            self._purse.give_back(unspent)
        answer = find_text(reply)
        if answer is None:
            raise ValueError("the answer has no text: its content is null")
        self._store.keep(job, answer, cost)
        return answer

    @obey_retry_after
    async def _ask(self, provider: Provider, key: str, prompt: str) -> dict[str, Any]:
        """Send a request when the rate allows, and return the reply."""
        await self._limiter.acquire_async()
        return await send(self._http, provider, key, prompt)


async def run_batch(
    jobs: Mapping[str, str],
    store: str,
    *,
    providers: Sequence[Provider],
    budget: int,
    max_concurrency: int,
    rate: int,
) -> dict[str, str | Exception]:
    """Return the model's answer to each job, or the exception it failed with, by id.
    A null in place of the answer is a failure, or the answer "".

    jobs: the prompts, by id.
    store: the path of a file; make it if it is missing, and save each answer in it as
        soon as it comes. The next start with the same file never asks again for a saved
        answer, even if this start was killed; failed jobs are tried again.
    providers: two. A job goes to the first. After a failure:
        - 429 with a Retry-After: wait that long, then ask the same provider again, up
          to 3 times.
        - 5xx, or no reply: ask the second provider, if it was not asked yet.
        - anything else, such as a wrong key: the job has failed.
    budget: micro-dollars for all starts with this store together. Send a request only
        if enough is left for the most that it can cost, and for the most that the
        requests under way can cost; otherwise the job fails with BudgetError. An answer
        costs its usage.total_tokens.
    max_concurrency: the number of jobs under way at once.
    rate: the most requests that start in any second, to both providers together.

    A job has the same Idempotency-Key in every start, and no other job has it, not even
    one of the same id in another store.

    ValueError, before anything is sent, if a price is not known, or if max_concurrency
    or rate is below 1.

    Further: after PATIENCE failures in a row that lead to the second provider, the
    first one is passed over for PAUSE seconds. Then a single job tries it: if that
    fails in the same way, it is passed over again; after an answer, all jobs use it.
    """
    if any(provider.price is None for provider in providers):
        raise ValueError("a price is not known, so no budget can be kept")
    if max_concurrency < 1 or rate < 1:
        raise ValueError("max_concurrency and rate must be 1 or more")
    with closing(Store(store, jobs)) as kept:
        results: dict[str, str | Exception] = kept.answers()
        todo = iter([job for job in jobs if job not in results])
        limits = httpx.Limits()  # no other than max_concurrency
        async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits) as http:
            batch = Batch(http, kept, providers, budget, rate)
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(max_concurrency):
                        workers.create_task(work(batch, todo, jobs, results))
            except ExceptionGroup as errors:  # the store's, see work()
                raise errors.exceptions[0] from None
    return {job: results[job] for job in jobs}


async def work(
    batch: Batch,
    todo: Iterator[str],
    jobs: Mapping[str, str],
    results: dict[str, str | Exception],
) -> None:
    """Do one job after the other until none is left; a failure becomes its result."""
    for job in todo:
        try:
            results[job] = await batch.do(job, jobs[job])
        except sqlite3.Error:
            raise  # what cannot be kept must not be paid for
        except Exception as error:
            results[job] = error
