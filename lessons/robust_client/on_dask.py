"""Lesson 09, imported by its notebook: the calls of a store, made by a Dask cluster.

The store stays with one process, which takes jobs, keeps the money and the answers.
Dask only carries calls to other machines: https://distributed.dask.org
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from distributed import Client, LocalCluster, as_completed

from .costs import CostTracker
from .errors import APIError
from .jobs import Job
from .pipeline import MOST_ATTEMPTS, SharedPace
from .providers import BaseLLMClient, CompletionResponse
from .store import Store


def call_provider(open_provider: Callable, prompt: str, key: str) -> CompletionResponse:
    """Make one call, on a machine of the cluster."""

    async def call() -> CompletionResponse:
        async with open_provider() as provider:
            return await provider.complete(prompt, key)

    return asyncio.run(call())


class DaskJobs:
    """Does the jobs of a store on a cluster, so many at a time.

    open_provider: a function of a module, which returns the provider; the machines of
    the cluster call it too. client: an asynchronous one.
    """

    def __init__(
        self, store: Store, client: Client, open_provider: Callable, pace: SharedPace
    ) -> None:
        self.store, self.client, self.pace = store, client, pace
        self.open_provider, self.costs = open_provider, CostTracker(store)
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count()

    async def run(self, most_open: int = 20) -> None:
        """Work until no job is open."""
        renewing = asyncio.create_task(self._renew())
        done = as_completed(loop=self.client.loop)
        async with self.open_provider() as provider:
            while self._jobs or self.store.has_open():
                while len(self._jobs) < most_open and (job := self._take()):
                    done.add(await self._submit(provider, job))
                if self._jobs:
                    await self._keep(provider, await anext(done))
                else:
                    await asyncio.sleep(self.store.lease / 5)
        renewing.cancel()

    def _take(self) -> Job | None:
        return self.store.take(f"dask-{next(self._numbers)}")

    async def _submit(self, provider: BaseLLMClient, job: Job) -> Any:
        await self.pace.acquire()
        self.costs.reserve(job, provider.name, provider.most(job.text))
        call = (call_provider, self.open_provider, job.text, job.key)
        future = self.client.submit(*call, pure=False)
        self._jobs[future.key] = job
        return future

    async def _keep(self, provider: BaseLLMClient, future: Any) -> None:
        """Keep an answer, and release it at once: a result that stays on a worker is
        computed again, and paid for, if that worker dies.
        """
        job = self._jobs.pop(future.key)
        try:
            answer = await future
        except APIError as error:
            if error.is_retryable and job.attempts < MOST_ATTEMPTS:
                self.store.put_back(job, pause=0.3)
            else:
                self.store.fail(job, error)
        else:
            self.store.finish(job, answer, provider.most(job.text))
        future.release()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.store.lease / 3)
            self.store.renew(list(self._jobs.values()))


async def run_local_cluster(
    store: Store, open_provider: Callable, rate: int, workers: int
) -> None:
    """Do the jobs of a store with so many processes of Dask on this machine."""
    options = {"n_workers": workers, "dashboard_address": None, "asynchronous": True}
    async with (
        LocalCluster(threads_per_worker=4, **options) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        jobs = DaskJobs(store, client, open_provider, SharedPace(store, rate))
        await jobs.run(most_open=4 * workers)
