"""Lesson 09, imported by its notebook: worker processes, replaced when they die."""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tqdm import tqdm

from .costs import BudgetExceededError, dollars
from .database import StoreError
from .errors import APIError
from .pipeline import StoppedError
from .store import Store

# What most programs with workers import: the fork server does so once for all.
PRELOAD = ("aiohttp.web", "dotenv", "requests", "robust_client.dialects")
# What ends a worker, unless it is killed.
STOPS = (StoreError, BudgetExceededError, StoppedError, APIError)

# Where the system has a fork server, a process starts in a few hundredths of a second:
# it is a copy of one that has imported these modules already.
_ways = multiprocessing.get_all_start_methods()
_context = multiprocessing.get_context("forkserver" if "forkserver" in _ways else None)
if "forkserver" in _ways:
    _context.set_forkserver_preload(["__main__", __name__, *PRELOAD])


def start(target: Callable[..., None], *arguments: Any) -> Any:
    """Start a process that calls target, a function of a module, with arguments."""
    process = _context.Process(target=target, args=arguments)
    process.start()
    return process


def run_or_explain(work: Callable[..., Coroutine], *arguments: Any) -> None:
    """Do the work of a worker process; end it with a sentence if it has to stop."""
    try:
        asyncio.run(work(*arguments))
    except STOPS as error:
        sys.exit(f"\nstopped: {error}")
    except KeyboardInterrupt:
        sys.exit(1)


class Crew:
    """So many worker processes; one that is killed is replaced."""

    def __init__(self, count: int, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self.members = [begin() for _ in range(count)]

    def tend(self) -> list[Any]:
        """Replace those that were killed; return those that are at work."""
        for number, process in enumerate(self.members):
            if process.exitcode is not None and process.exitcode < 0:
                self.members[number] = self._begin()
        return [process for process in self.members if process.is_alive()]

    def watch(self, store: Store, on_look: Callable[[int, list], object]) -> None:
        """Show how far the jobs of a store are, and what they cost, until all end.

        on_look: is called all the time, with how many jobs are done and who is at work.
        """
        items = sum(store.counts().values())
        with tqdm(total=items, unit="item") as bar:
            while alive := self.tend():
                time.sleep(0.05)
                bar.set_postfix_str(dollars(store.spent()), refresh=False)
                bar.update(items - store.counts()["open"] - bar.n)
                on_look(bar.n, alive)

    def stop(self) -> None:
        """End all processes, and wait for that; their jobs stay in the store."""
        for process in self.members:
            process.terminate()
            process.join()
