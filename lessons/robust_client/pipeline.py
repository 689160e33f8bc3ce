"""Lesson 09, imported by its notebook: a worker that does jobs, beside others.

What can succeed later stays open, what never will is kept as failed, and what ends the
worker, from a full disk to `kill -9`, leaves a store that the next start goes on with.
"""

import asyncio
import itertools
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from .costs import BudgetExceededError, CostTracker
from .errors import (
    APIError,
    AuthenticationError,
    PermissionDeniedError,
    QuotaExceededError,
)
from .jobs import Job, LeaseLostError
from .pace import SharedPace
from .providers import BaseLLMClient
from .router import AllPassedOverError, Call, SmartRouter
from .store import Store

# What is wrong with an account, not with a job: a person has to look at it.
ACCOUNT = (AuthenticationError, PermissionDeniedError, QuotaExceededError)
MOST_ATTEMPTS = 12  # requests for one job; then it has failed
LookUp = Callable[[str], Awaitable[str]]


class StoppedError(Exception):
    """The worker cannot go on; the text says why. All open jobs wait in the store."""


async def use_text(text: str) -> str:
    """Return the text of a job as its prompt: nothing is looked up."""
    return text


@dataclass
class JobCall(Call):
    """The call of a job: each request of it is paced, paid for and noted before."""

    job: Job = None
    pace: SharedPace = None
    costs: CostTracker = None

    async def before(self, provider: BaseLLMClient) -> None:
        """Wait for a start, and keep the money. Raises BudgetExceededError."""
        await self.pace.acquire()
        self.costs.reserve(self.job, provider.name, provider.most(self.prompt))
        self.provider = provider.name

    def refused(self, provider: BaseLLMClient) -> None:
        """Give back what was kept for a call that was not answered."""
        self.costs.store.refund(self.job, provider.most(self.prompt))
        self.provider = None


@dataclass
class Worker:
    """Does jobs of a store, max_concurrency at a time.

    look_up: makes the prompt from a job's text. patience: seconds without any answer,
    because no provider can be asked, after which it stops.
    """

    store: Store
    router: SmartRouter
    pace: SharedPace
    costs: CostTracker
    look_up: LookUp = use_text
    max_concurrency: int = 10
    patience: float = 60.0
    name: str = field(default_factory=lambda: f"{os.getpid()}-{uuid.uuid4().hex[:8]}")

    async def run(self) -> None:
        """Work until no job is open, here or in another process.

        Raises StoreError, BudgetExceededError, StoppedError, or the APIError of an
        account that a person has to look at. Then, and if it is cancelled, all open
        jobs stay in the store and are free at once.
        """
        await anyio.sleep(0)  # httpx would load anyio later, while a start counts
        self._held: dict[str, Job] = {}
        self._numbers, self._answered = itertools.count(), time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew())
                tasks = [
                    group.create_task(self._work()) for _ in range(self.max_concurrency)
                ]
                await asyncio.wait(tasks)
                renewing.cancel()
        except ExceptionGroup as caught:
            raise caught.exceptions[0] from None
        finally:
            for job in self._held.values():
                self.store.put_back(job)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.store.lease / 3)
            self.store.renew(list(self._held.values()))

    async def _work(self) -> None:
        while (job := self._take()) or self.store.has_open():
            if job is None:  # others have the open ones, or had them
                await asyncio.sleep(min(0.05, self.store.lease / 5))
                continue
            self._held[job.worker] = job
            await self._do(job)
            del self._held[job.worker]

    def _take(self) -> Job | None:
        """Take a job under a name for this once: a lost one may come back to us."""
        return self.store.take(f"{self.name}-{next(self._numbers)}")

    async def _do(self, job: Job) -> None:
        """Bring a job to its end, or put it back."""
        try:
            if job.prompt is None:
                self.store.keep_prompt(job, await self.look_up(job.text))
            facts = (job.prompt, job.key, job.provider, job, self.pace, self.costs)
            response = await self.router.complete(JobCall(*facts))
        except APIError as error:
            self._judge(job, error)
        except LeaseLostError:
            pass  # somebody else does it
        except BudgetExceededError:
            self.store.put_back(job, pause=0.05)
            if len(self._held) == 1:  # else a call under way may cost less than kept
                raise
        else:
            most = self._most_of(response.provider, job.prompt)
            self.store.finish(job, response, most)
            self._answered = time.monotonic()

    def _most_of(self, provider: str, prompt: str) -> int:
        providers = {one.name: one for one in self.router.providers}
        return providers[provider].most(prompt)

    def _judge(self, job: Job, error: APIError) -> None:
        """Decide what to do with a job without an answer."""
        if isinstance(error, ACCOUNT):
            raise error
        silence = time.monotonic() - self._answered
        if isinstance(error, AllPassedOverError) and silence > self.patience:
            message = f"no provider has answered for {silence:.0f} s: {error}"
            raise StoppedError(message) from error
        if error.is_retryable and job.attempts < MOST_ATTEMPTS:
            self.store.put_back(job, pause=0.3)
        else:
            self.store.fail(job, error)
