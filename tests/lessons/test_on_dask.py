"""The jobs of a store on a Dask cluster, one worker of which is killed."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from mock_server import MockServer
from robust_client.pipeline import SharedPace
from robust_client.store import Store

from tests.lessons.jobs_process import open_small

pytest.importorskip("distributed", reason="needs pip install -e .[scale]")


def test_killed_dask_worker_costs_no_answer(tmp_path: Path) -> None:
    """Two workers, one killed with calls under way: each job answered and paid once."""
    from distributed import Client, LocalCluster
    from robust_client.on_dask import DaskJobs

    options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None}

    async def run(server: MockServer, store: Store) -> None:
        async with (
            LocalCluster(asynchronous=True, **options) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            victim, *_ = (await client.run(os.getpid)).values()
            jobs = DaskJobs(
                store, client, partial(open_small, server.url), SharedPace(store, 100)
            )
            running = asyncio.create_task(jobs.run(most_open=6))
            while len(server.records) < 8:
                await asyncio.sleep(0.01)
            os.kill(victim, signal.SIGKILL)
            await running

    with MockServer(latency=0.05) as server, Store(tmp_path / "store.db") as store:
        store.add((f"job {number}", f"text {number}") for number in range(24))
        asyncio.run(run(server, store))
        assert store.counts() == {"open": 0, "answered": 24, "failed": 0}
        done = [one for one in server.records if one.identity and not one.replayed]
        keys = {one.headers["Idempotency-Key"] for one in done}
        assert len(done) == len(keys) == 24, f"{len(done) - len(keys)} paid twice"
