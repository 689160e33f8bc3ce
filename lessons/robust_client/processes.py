"""Lesson 09, imported by its notebook: worker processes, started anew when they die."""

import asyncio
import multiprocessing
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from .costs import BudgetExceededError
from .database import StoreError
from .errors import APIError
from .pipeline import StoppedError

# What ends a worker that nobody killed.
STOPS = (StoreError, BudgetExceededError, StoppedError, APIError)

# Where the system has a fork server, a process starts in a few hundredths of a second.
_ways = multiprocessing.get_all_start_methods()
_context = multiprocessing.get_context("forkserver" if "forkserver" in _ways else None)


def start(target: Callable[..., None], *arguments: Any) -> Any:
    """Start a process that calls target, a function of a module, with arguments."""
    process = _context.Process(target=target, args=arguments)
    process.start()
    return process


def run_or_explain(work: Coroutine) -> None:
    """Run the work of a worker process; end it with a sentence if it has to stop."""
    try:
        asyncio.run(work)
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

    def stop(self) -> None:
        """End all processes, and wait for that; their jobs stay in the store."""
        for process in self.members:
            process.terminate()
            process.join()
