"""httpx with an iterator class in place of a generator; the parser keeps one text with
LF only.
"""

import codecs
import json
import os
from dataclasses import dataclass

import httpx


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
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    buffer, last_id, after_cr, started = "", "", False, False
    for chunk in chunks:
        text = decoder.decode(chunk)
        if text and not started:
            text, started = text.removeprefix("\ufeff"), True
        if text:
            if after_cr and text[0] == "\n":
                text = text[1:]
                after_cr = False
            after_cr = text[-1:] == "\r"
        buffer += text.replace("\r\n", "\n").replace("\r", "\n")
        while True:
            if buffer.startswith("\n"):
                buffer = buffer[1:]
                continue
            block, end, rest = buffer.partition("\n\n")
            if not end:
                break
            buffer = rest
            event, last_id = parse(block.split("\n"), last_id)
            if event:
                yield event


def parse(lines, last_id):
    event, data = ServerSentEvent(event=""), []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data += [value]
        if name == "event":
            event.event = value
        if name == "id" and "\0" not in value:
            last_id = value
        if name == "retry" and value and set(value) <= set("0123456789"):
            event.retry = int(value)
    event.event, event.data, event.id = (
        event.event or "message",
        "\n".join(data),
        last_id,
    )
    return (event if data else None), last_id


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


class stream_chat:
    def __init__(self, messages, *, base_url=None, api_key=None, model=None):
        url, headers, model = settings(base_url, api_key, model)
        self.text, self.whole, self.events, self.response = "", False, None, None
        self.client = httpx.Client(timeout=30, headers=headers)
        body = {"model": model, "messages": messages, "stream": True}
        self.request = self.client.build_request("POST", url, json=body)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            if not self.events:
                self.response = self.client.send(self.request, stream=True)
                if not self.response.headers["Content-Type"].startswith(
                    "text/event-stream"
                ):
                    raise StreamError(self.response.read().decode())
                self.events = iter_sse(self.response.iter_raw())
            for event in self.events:
                if event.data == "[DONE]":
                    self.whole = True
                    break
                piece, reason = read(event, self.text)
                self.whole = self.whole or bool(reason)
                if piece:
                    self.text += piece
                    return piece
        except StreamError:
            self.close()
            raise
        except httpx.TransportError as error:
            if not self.whole:
                self.close()
                raise IncompleteStreamError(type(error).__name__, self.text) from error
        self.close()
        if not self.whole:
            raise IncompleteStreamError("the end is missing", self.text)
        raise StopIteration

    def close(self):
        if self.response:
            self.response.close()
        self.client.close()

    __del__ = close
