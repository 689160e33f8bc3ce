"""The answers to requests that brought an Idempotency-Key: each is carried out once.

The rules are those of the IETF's draft "The Idempotency-Key HTTP Header Field"
(draft-ietf-httpapi-idempotency-key-header). As at Stripe, a refused request keeps
nothing, so it can be sent again with its key.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .reply import Reply

MOST_ANSWERS = 10_000
MOST_BYTES = 64 * 1024 * 1024  # of all kept answers together


@dataclass(eq=False)
class _Kept:
    """An answer that is kept, or is still being made.

    identity: says which request it answers.
    size: about how many bytes it takes, once it is made.
    """

    identity: str
    answer: asyncio.Future[Reply] | None = None
    size: int = 0


class Answers:
    """The answers that are kept; if they are too many, the oldest are forgotten."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all of them."""
        self._kept: dict[str, _Kept] = {}
        self._bytes = 0

    async def once(
        self, name: str, identity: str, work: Callable[[], Awaitable[Reply]]
    ) -> Reply | None:
        """Return the answer under this name; work makes it if there is none yet.

        None if the name was used for a request with another identity. A client that
        leaves does not stop the work: it is done once, and to its end.
        """
        kept = self._kept.get(name)
        is_new = kept is None
        if kept is None:
            kept = self._kept[name] = _Kept(identity)
            kept.answer = asyncio.ensure_future(self._make(name, kept, work))
        if kept.identity != identity:
            return None
        reply = await asyncio.shield(kept.answer)
        # A copy, because faults change what is sent.
        headers = dict(reply.headers)
        if not is_new:
            headers["Idempotent-Replayed"] = "true"  # as at Stripe
        pieces = list(reply.pieces)
        return dataclasses.replace(
            reply, headers=headers, pieces=pieces, is_replayed=not is_new
        )

    async def _make(
        self, name: str, kept: _Kept, work: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        try:
            reply = await work()
        except BaseException:
            self._forget(name, kept)
            raise
        if reply.status >= 400:
            self._forget(name, kept)
        elif self._kept.get(name) is kept:
            kept.size = reply.size
            self._bytes += kept.size
            while len(self._kept) > MOST_ANSWERS or self._bytes > MOST_BYTES:
                oldest = next(iter(self._kept))
                self._bytes -= self._kept.pop(oldest).size
        return reply

    def _forget(self, name: str, kept: _Kept) -> None:
        if self._kept.get(name) is kept:
            del self._kept[name]
