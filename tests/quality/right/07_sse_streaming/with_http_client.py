"""The standard library only: http.client, and lines found by a regular expression."""

import http.client
import json
import os
import re
from dataclasses import dataclass
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
    address = urlsplit(url)
    body = json.dumps({"model": model, "messages": messages, "stream": True})
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    text, reason = "", None
    try:
        connection.request(
            "POST", address.path, body, headers | {"Content-Type": "application/json"}
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
            piece, why = read(event, text)
            reason = why or reason
            if piece:
                text += piece
                yield piece
    except (OSError, http.client.HTTPException) as error:
        if not reason:
            raise IncompleteStreamError(repr(error), text) from error
    finally:
        connection.close()
    if not reason:
        raise IncompleteStreamError("no end", text)
