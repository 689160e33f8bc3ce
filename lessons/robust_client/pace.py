"""Lesson 09, imported by its notebook: one rate limit for all processes of a store."""

import asyncio

from .store import Store

MARGIN = 0.04  # seconds; requests do not all take the same time to the server


class SharedPace:
    """At most max_calls starts of all processes together in any period, in seconds."""

    def __init__(self, store: Store, max_calls: int, period: float = 1.0) -> None:
        self.store, self.max_calls, self.period = store, max_calls, period + MARGIN
        self._line = asyncio.Lock()  # one task asks the store, the others queue

    async def acquire(self) -> None:
        """Wait until a call may start."""
        async with self._line:
            while wait := self.store.start(self.max_calls, self.period):
                await asyncio.sleep(wait)
