"""httpx-sse reads the chat stream; iter_sse is written by hand, byte by byte."""

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field

import httpx
import httpx_sse

TLS = httpx.create_ssl_context()


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


def arriving_chunks(url, headers, body):
    partial, is_whole = "", False
    try:
        with (
            httpx.Client(timeout=30, verify=TLS) as client,
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
                chunk, choice = read(event, partial)
                is_whole = is_whole or choice.get("finish_reason") is not None
                partial += text_of(choice)
                yield chunk, choice
    except httpx.TransportError as error:
        if not is_whole:
            raise IncompleteStreamError("broken", partial) from error
    if not is_whole:
        raise IncompleteStreamError("truncated", partial)


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
    text, reason, usage = "", None, None
    ids, names, arguments = {}, {}, defaultdict(str)
    for chunk, choice in arriving_chunks(url, headers, body):
        text += text_of(choice)
        reason = choice.get("finish_reason") or reason
        usage = chunk.get("usage") or usage
        for piece in (choice.get("delta") or {}).get("tool_calls") or []:
            index, function = piece["index"], piece.get("function") or {}
            ids[index] = ids.get(index) or piece.get("id")
            names[index] = names.get(index) or function.get("name")
            arguments[index] += function.get("arguments") or ""
    calls = [
        {
            "id": ids[index],
            "type": "function",
            "function": {"name": names[index], "arguments": arguments[index]},
        }
        for index in sorted(ids)
    ]
    return StreamedAnswer(text, reason, usage, calls)
