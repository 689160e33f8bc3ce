"""The standard library only: http.client, and lines found by a regular expression."""

import http.client
import json
import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit


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


def arriving_chunks(url, headers, body):
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    text, reason = "", None
    try:
        connection.request(
            "POST",
            address.path,
            json.dumps(body),
            headers | {"Content-Type": "application/json"},
        )
        response = connection.getresponse()
        if (
            response.status != 200
            or response.headers.get_content_type() != "text/event-stream"
        ):
            raise StreamError(response.read().decode("utf-8", "replace"))
        for event in iter_sse(iter(lambda: response.read1(4096), b"")):
            if event.data == "[DONE]":
                return
            chunk, choice = read(event, text)
            reason = choice.get("finish_reason") or reason
            text += text_of(choice)
            yield chunk, choice
    except (OSError, http.client.HTTPException) as error:
        if not reason:
            raise IncompleteStreamError(repr(error), text) from error
    finally:
        connection.close()
    if not reason:
        raise IncompleteStreamError("no end", text)


class Calls(dict):
    """Tool calls by index; one that is missing begins."""

    def __missing__(self, index):
        function = {"name": "", "arguments": ""}
        self[index] = {"id": "", "type": "function", "function": function}
        return self[index]

    def add(self, piece):
        match piece:
            case {"id": str(id)} if id:
                self[piece["index"]]["id"] = id
        match piece:
            case {"function": {"name": str(name)}} if name:
                self[piece["index"]]["function"]["name"] = name
        match piece:
            case {"function": {"arguments": str(text)}}:
                self[piece["index"]]["function"]["arguments"] += text


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
    answer, calls = StreamedAnswer(), Calls()
    for chunk, choice in arriving_chunks(url, headers, body):
        answer.text += text_of(choice)
        if chunk.get("usage"):
            answer.usage = chunk["usage"]
        if choice.get("finish_reason"):
            answer.finish_reason = choice["finish_reason"]
        delta = choice.get("delta") or {}
        for piece in delta.get("tool_calls") or []:
            calls.add(piece)
    answer.tool_calls = [call for _, call in sorted(calls.items())]
    return answer
