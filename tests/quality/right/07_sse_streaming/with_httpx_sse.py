"""httpx-sse reads the chat stream; iter_sse is written by hand, byte by byte."""

import json
import os
from dataclasses import dataclass

import httpx
import httpx_sse


@dataclass
class ServerSentEvent:
    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None


class StreamError(Exception):
    def __init__(self, message, partial=""):
        super().__init__(message)
        self.partial = partial


class IncompleteStreamError(StreamError):
    pass


def lines_of(chunks):
    buffer, skip_lf, first = b"", False, True
    for chunk in chunks:
        for byte in chunk:
            if byte == 10 and skip_lf:
                skip_lf = False
                continue
            skip_lf = byte == 13
            if byte not in (10, 13):
                buffer += bytes([byte])
                continue
            line, buffer = buffer.decode("utf-8", errors="replace"), b""
            yield line.removeprefix("\ufeff") if first else line
            first = False


def iter_sse(chunks):
    event, data, last_id, retry = "", [], "", None
    for line in lines_of(chunks):
        if not line:
            if data:
                yield ServerSentEvent(
                    event or "message", "\n".join(data), last_id, retry
                )
            event, data, retry = "", [], None
            continue
        if line.startswith(":"):
            continue
        name, _, value = line.partition(":")
        if value.startswith(" "):
            value = value[1:]
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            retry = int(value)


def settings(base_url, api_key, model):
    found = [
        base_url or os.getenv("OPENAI_BASE_URL"),
        api_key or os.getenv("OPENAI_API_KEY"),
        model or os.getenv("OPENAI_MODEL"),
    ]
    if not all(found):
        raise ValueError("an address, a key and a model are needed")
    return (
        found[0].rstrip("/") + "/chat/completions",
        {"Authorization": f"Bearer {found[1]}"},
        found[2],
    )


def read(event, partial):
    """Return text and finish_reason of a chunk."""
    try:
        chunk = json.loads(event.data)
    except ValueError:
        raise StreamError("a chunk is damaged", partial) from None
    if chunk.get("error"):
        raise StreamError(chunk["error"].get("message"), partial)
    choices = chunk.get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content"), choices[0].get(
        "finish_reason"
    )


def stream_chat(messages, *, base_url=None, api_key=None, model=None):
    url, headers, model = settings(base_url, api_key, model)
    body = {"model": model, "messages": messages, "stream": True}

    def pieces():
        partial, is_whole = "", False
        try:
            with (
                httpx.Client(timeout=30) as client,
                httpx_sse.connect_sse(
                    client, "POST", url, json=body, headers=headers
                ) as source,
            ):
                response = source.response
                if (
                    response.is_error
                    or "event-stream" not in response.headers["Content-Type"]
                ):
                    raise StreamError(response.read().decode())
                for event in source.iter_sse():
                    if event.data == "[DONE]":
                        return
                    text, reason = read(event, partial)
                    is_whole = is_whole or reason is not None
                    if text:
                        partial += text
                        yield text
        except httpx.TransportError as error:
            if not is_whole:
                raise IncompleteStreamError("broken", partial) from error
        if not is_whole:
            raise IncompleteStreamError("truncated", partial)

    return pieces()
