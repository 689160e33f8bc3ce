"""Lesson 09, imported by its notebook: how the dialects of two providers differ.

Sources: https://platform.openai.com/docs/api-reference/chat and
https://docs.anthropic.com/en/api/messages
"""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx

from .async_stream import check_stream_async, pieces_of_async
from .chat import chat_body, find_text
from .errors import InvalidResponseError, checked_body, error_from_response
from .keys import hide_keys
from .providers import BaseLLMClient
from .sse import EventParser, ServerSentEvent
from .stream import BROKEN, IncompleteStreamError, error_from_event


class OpenAIProvider(BaseLLMClient):
    """OpenAI's chat completions, and all that are compatible with them."""

    path = "/chat/completions"

    def _body(self, prompt: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt}]
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        return chat_body(messages, self.model, 0.0, self.max_tokens)

    def _read(self, response: httpx.Response) -> tuple[str, Any, Any]:
        body = checked_body(response)
        try:
            text = find_text(body)
        except ValueError as cause:
            raise InvalidResponseError(str(cause), status=200) from cause
        usage = body.get("usage") or {}
        return text or "", usage.get("prompt_tokens"), usage.get("completion_tokens")

    def _pieces(self, response: httpx.Response) -> AsyncIterator[str]:
        return pieces_of_async(response)


class AnthropicProvider(BaseLLMClient):
    """Anthropic's messages.

    Its own headers, blocks of text, `system` beside the messages, a limit that must be
    there, and events with names.
    """

    path = "/messages"

    def _headers(self) -> dict[str, str]:
        return {"x-api-key": self._api_key, "anthropic-version": "2023-06-01"}

    def _body(self, prompt: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt}]
        body = {"model": self.model, "messages": messages, "temperature": 0.0}
        more = {"system": self.system} if self.system else {}
        return body | more | {"max_tokens": self.max_tokens}

    def _read(self, response: httpx.Response) -> tuple[str, Any, Any]:
        try:
            body = response.json() if response.status_code == 200 else {}
            blocks = [one for one in body["content"] if one["type"] == "text"]
            text = "".join(block["text"] for block in blocks)
        except (ValueError, LookupError, TypeError) as cause:
            raise error_from_response(response) from cause
        if body.get("stop_reason") == "max_tokens":
            message = hide_keys(f"incomplete (max_tokens): {text!r}")
            raise InvalidResponseError(message, status=200)
        usage = body.get("usage") or {}
        return text, usage.get("input_tokens"), usage.get("output_tokens")

    def _pieces(self, response: httpx.Response) -> AsyncIterator[str]:
        return message_pieces(response)


def read_message_event(event: ServerSentEvent, so_far: str) -> tuple[str, bool]:
    """Return the new text of an event, "" if it has none, and whether it is the end.

    Raises StreamError for an error that the server reports.
    """
    if event.event == "error":
        raise error_from_event(event, so_far)
    try:
        delta = json.loads(event.data).get("delta") or {}
        text = delta.get("text", "") if event.event == "content_block_delta" else ""
    except (ValueError, AttributeError) as cause:
        message = f"a damaged event: {hide_keys(event.data)[:60]!r}"
        raise InvalidResponseError(message, status=200) from cause
    return text, event.event == "message_stop"


async def message_pieces(response: httpx.Response) -> AsyncIterator[str]:
    """Yield the text of a streamed message; raise an error unless it is whole."""
    parser, text, cause = EventParser(), "", None
    async with aclosing(response):
        await check_stream_async(response)
        try:
            async for chunk in response.aiter_bytes():
                for event in parser.feed(chunk):
                    piece, is_end = read_message_event(event, text)
                    if is_end:
                        return
                    text += piece
                    if piece:
                        yield piece
        except BROKEN as error:
            cause = error
    message = f"the stream ended after {len(text)} characters"
    raise IncompleteStreamError(message, text, status=200) from cause
