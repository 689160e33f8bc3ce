"""Grade many answers at once: on this machine, or on a Dask cluster."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from lessons.course.exercises import Mistake

from .engine import Engine, Verdict
from .journal import Key

_engines: dict[str, Engine] = {}  # of this process, where it is a Dask worker


def grade_here(
    engine: Engine, answers: Mapping[Key, Path], jobs: int | None = None
) -> Iterator[tuple[Key, Verdict]]:
    """Yield the verdict on each answer as soon as it is there.

    jobs: answers at once; without it, one more than there are processors.
    """
    with ThreadPoolExecutor(jobs or (os.cpu_count() or 1) + 1) as pool:
        futures = {
            pool.submit(engine.grade, key[1], path): key
            for key, path in answers.items()
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def grade_with_dask(
    answers: Mapping[Key, Path], isolation: str, task: Callable | None = None
) -> Iterator[tuple[Key, Verdict]]:
    """Yield verdicts as grade_here does, from the workers of a Dask cluster.

    The cluster is the one that DASK_SCHEDULER_ADDRESS names, or begins on this machine.
    Each result is taken and released at once: so a worker that is killed costs the
    answers that it was busy with, and no other is graded twice. Raises Mistake without
    the extra `class`. task: what a worker does; grade_remotely without it.
    """
    try:
        from distributed import Client
        from distributed import as_completed as as_dask_completed
    except ImportError as error:
        raise Mistake(
            "Dask is not installed; run: python -m pip install -e .[class]"
        ) from error
    # One answer at a time on each worker: a kill then costs one answer.
    with Client(threads_per_worker=1, dashboard_address="127.0.0.1:0") as client:
        futures = {}
        for key, path in answers.items():
            job = (key[1], path.name, path.read_bytes(), isolation)
            futures[client.submit(task or grade_remotely, *job, pure=False)] = key
        completed = as_dask_completed(list(futures))
        for future in completed:
            key = futures.pop(future)
            if future.status == "finished":
                verdict = Verdict(*future.result())
            else:  # its workers were killed again and again
                reason = f"not graded: {future.exception()}"
                verdict = Verdict([], (reason[:200],), 0.0)
            future.release()
            yield key, verdict


def grade_remotely(
    exercise: str, name: str, data: bytes, isolation: str
) -> tuple[object, ...]:
    """Grade an answer on a worker, whose engine is kept for the next one."""
    if isolation not in _engines:
        _engines[isolation] = Engine(isolation, jobs=1).__enter__()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return tuple(_engines[isolation].grade(exercise, path))
