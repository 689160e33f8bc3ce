"""Lesson 07, for asyncio: many answers that arrive word by word at the same time."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx

from .errors import add_request_id, error_from_exception
from .retry import RobustAsyncClient
from .sse import EventParser
from .stream import (
    BROKEN,
    PATH,
    Answer,
    check_end,
    check_stream,
    is_stream,
    stream_body,
)


async def check_stream_async(response: httpx.Response) -> None:
    """Raise what a plain call raises if a reply is not an event stream."""
    if not is_stream(response):
        try:
            await response.aread()
        except BROKEN as cause:
            raise error_from_exception(cause) from cause
    check_stream(response)


async def pieces_of_async(response: httpx.Response) -> AsyncIterator[str]:
    """Yield the text of a streamed answer; raise an error unless it is whole."""
    answer, parser, cause = Answer(), EventParser(), None
    async with aclosing(response):
        await check_stream_async(response)
        with add_request_id(response):
            try:
                async for chunk in response.aiter_bytes():
                    for text in answer.read(parser.feed(chunk)):
                        yield text
                    if answer.is_done:
                        break
            except BROKEN as error:
                cause = error
            check_end(answer, cause)


class StreamingAsyncClient(RobustAsyncClient):
    """The client for asyncio, with answers that arrive word by word."""

    async def chat_completion_stream(
        self, messages: list[dict[str, Any]], model: str | None = None
    ) -> AsyncIterator[str]:
        """Yield the text of an answer as it arrives; see StreamingAPIClient."""
        body = stream_body(messages, model or self.model)
        first, pieces = await self._retry(self._begin)(body)
        async with aclosing(pieces):
            if first:
                yield first
            async for piece in pieces:
                yield piece

    async def _begin(self, body: dict[str, Any]) -> tuple[str, AsyncIterator[str]]:
        pieces = self._pieces(body)
        return await anext(pieces, ""), pieces

    async def _pieces(self, body: dict[str, Any]) -> AsyncIterator[str]:
        async with self._slots:
            response = await self._send("POST", PATH, body, stream=True)
            async with aclosing(pieces_of_async(response)) as pieces:
                async for piece in pieces:
                    yield piece
