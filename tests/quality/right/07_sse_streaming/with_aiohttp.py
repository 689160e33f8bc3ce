"""aiohttp in an event loop of its own, which is turned by a generator."""

import asyncio
import json
import os
import re
from dataclasses import dataclass, field

import aiohttp


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


@dataclass
class StreamedAnswer:
    text: str = ""
    finish_reason: str | None = None
    usage: dict | None = None
    tool_calls: list = field(default_factory=list)


def iter_sse(chunks):
    """A state machine over lines that a regular expression finds in the bytes."""
    state = {"event": "", "data": None, "retry": None}
    last_id, rest, after_cr, start = "", b"", False, True
    for chunk in filter(None, chunks):
        if after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            after_cr = False
        after_cr = chunk.endswith(b"\r") if chunk else False
        *lines, rest = re.split(rb"\r\n|\n|\r", rest + chunk)
        for raw in lines:
            line = raw.decode("utf-8", "replace")
            if start:
                line, start = line.removeprefix("\ufeff"), False
            field, _, value = line.partition(":")
            value = value[1:] if value[:1] == " " else value
            match field:
                case "" if not line:
                    if state["data"] is not None:
                        yield ServerSentEvent(
                            state["event"] or "message",
                            state["data"],
                            last_id,
                            state["retry"],
                        )
                    state = {"event": "", "data": None, "retry": None}
                case "data":
                    state["data"] = (
                        value if state["data"] is None else state["data"] + "\n" + value
                    )
                case "event":
                    state["event"] = value
                case "id" if "\0" not in value:
                    last_id = value
                case "retry" if re.fullmatch("[0-9]+", value):
                    state["retry"] = int(value)


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
    """Return a chunk and its choice, which may be empty."""
    try:
        chunk = json.loads(event.data)
    except ValueError:
        raise StreamError(f"a chunk is damaged: {event.data}", partial) from None
    if event.event == "error" or not isinstance(chunk, dict) or chunk.get("error"):
        raise StreamError(f"the server reports {event.data}", partial)
    if "choices" not in chunk and "usage" not in chunk:
        raise StreamError(f"an unknown event: {event.data}", partial)
    choice = (chunk.get("choices") or [{}])[0]
    if choice.get("error"):
        raise StreamError(f"the server reports {choice}", partial)
    return chunk, choice


def text_of(choice):
    content = (choice.get("delta") or {}).get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


async def arriving(url, headers, body):
    timeout = aiohttp.ClientTimeout(total=None, sock_read=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, headers=headers, json=body) as response,
    ):
        if response.content_type != "text/event-stream":
            raise StreamError(await response.text())
        async for data in response.content.iter_any():
            yield data


def turned(source):
    """Yield in a plain loop what an async generator yields."""
    with asyncio.Runner() as runner:
        try:
            while True:
                try:
                    yield runner.run(anext(source))
                except StopAsyncIteration:
                    return
        finally:
            runner.run(source.aclose())


def arriving_chunks(url, headers, body):
    source = turned(arriving(url, headers, body))
    text, is_finished = "", False
    try:
        for event in iter_sse(source):
            if event.data == "[DONE]":
                return
            chunk, choice = read(event, text)
            is_finished = is_finished or bool(choice.get("finish_reason"))
            text += text_of(choice)
            yield chunk, choice
    except aiohttp.ClientError as error:
        if not is_finished:
            raise IncompleteStreamError(f"{error!r}", text) from error
    finally:
        source.close()
    if not is_finished:
        raise IncompleteStreamError("no finish_reason, no [DONE]", text)


def whole_call(pieces):
    functions = [piece.get("function") or {} for piece in pieces]
    return {
        "id": next(piece["id"] for piece in pieces if piece.get("id")),
        "type": "function",
        "function": {
            "name": next(one["name"] for one in functions if one.get("name")),
            "arguments": "".join(one.get("arguments") or "" for one in functions),
        },
    }


def stream_chat(messages, *, base_url=None, api_key=None, model=None):
    url, headers, model = settings(base_url, api_key, model)
    body = {"model": model, "messages": messages, "stream": True}
    for _, choice in arriving_chunks(url, headers, body):
        if text := text_of(choice):
            yield text


def collect_chat(messages, *, base_url=None, api_key=None, model=None, tools=None):
    url, headers, model = settings(base_url, api_key, model)
    body = {"model": model, "messages": messages, "stream": True}
    body["stream_options"] = {"include_usage": True}
    if tools is not None:
        body["tools"] = tools
    seen = list(arriving_chunks(url, headers, body))
    pieces = {}
    for _, choice in seen:
        for piece in (choice.get("delta") or {}).get("tool_calls") or ():
            pieces.setdefault(piece["index"], []).append(piece)
    reasons = [choice.get("finish_reason") for _, choice in seen]
    usages = [chunk.get("usage") for chunk, _ in seen]
    return StreamedAnswer(
        "".join(text_of(choice) for _, choice in seen),
        next(filter(None, reversed(reasons)), None),
        next(filter(None, reversed(usages)), None),
        [whole_call(pieces[index]) for index in sorted(pieces)],
    )
