"""Grade many answers at once: on this machine, or on a Dask cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path

from lessons.course.exercises import Mistake

from .engine import Engine, Verdict
from .isolation import default_jobs
from .journal import Key

_engines: dict[str, Engine] = {}  # of this process, where it is a Dask worker


Keep = Callable[[Key, Verdict], None]


def grade_here(
    engine: Engine, answers: Mapping[Key, Path], keep: Keep, jobs: int | None = None
) -> Iterator[Key]:
    """Grade answers, several at a time; yield each that is done.

    keep: is called with every verdict, before the next answer is begun in its place: so
    a kill costs what was running, and no more. jobs: answers at once; without it, as
    many as the engine has sandboxes.
    """

    def grade(key: Key, path: Path) -> Key:
        keep(key, engine.grade(key[1], path))
        return key

    with ThreadPoolExecutor(jobs or default_jobs()) as pool:
        futures = [pool.submit(grade, key, path) for key, path in answers.items()]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def grade_with_dask(
    isolation: str,
    answers: Mapping[Key, Path],
    keep: Keep,
    task: Callable | None = None,
) -> Iterator[Key]:
    """Do what grade_here does with the workers of a Dask cluster.

    The cluster is the one that DASK_SCHEDULER_ADDRESS names, or begins on this machine.
    It is given an answer for each thread, and the next for every verdict that is taken:
    so a worker that is killed has nothing but the answer that it was busy with. Raises
    Mistake without the extra `class`.

    task: what a worker does; grade_remotely without it.
    """
    try:
        from distributed import Client
        from distributed import as_completed as as_dask_completed
    except ImportError as error:
        raise Mistake(
            "Dask is not installed; run: python -m pip install -e .[class]"
        ) from error
    left, running = iter(answers.items()), {}
    with Client(threads_per_worker=1, dashboard_address="127.0.0.1:0") as client:
        completed = as_dask_completed()

        def begin() -> None:
            """Give every thread an answer."""
            threads = sum(client.nthreads().values())
            for key, path in islice(left, max(threads - len(running), 1)):
                job = (key[1], path.name, path.read_bytes(), isolation)
                future = client.submit(task or grade_remotely, *job, pure=False)
                running[future] = key
                completed.add(future)

        begin()
        for future in completed:
            key = running.pop(future)
            if future.status == "finished":
                verdict = Verdict(*future.result())
            elif isinstance(error := future.exception(), Mistake):
                raise error  # of the worker: its isolation, say
            else:  # its workers were killed again and again
                verdict = Verdict([], (f"not graded: {error}"[:200],), 0.0)
            future.release()
            keep(key, verdict)
            begin()
            yield key


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
