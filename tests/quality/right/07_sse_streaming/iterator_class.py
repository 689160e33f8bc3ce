"""httpx with an iterator class in place of a generator; the parser keeps one text with
LF only.
"""

import codecs
import json
import os
from dataclasses import dataclass, field

import httpx

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


class Stream:
    def __init__(self, more, messages, base_url, api_key, model):
        url, headers, model = settings(base_url, api_key, model)
        self.answer, self.calls = StreamedAnswer(), {}
        self.whole, self.events, self.response = False, None, None
        self.client = httpx.Client(timeout=30, headers=headers, verify=TLS)
        body = {"model": model, "messages": messages, "stream": True, **more}
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
                if piece := self.take(event):
                    return piece
        except StreamError as error:
            error.partial = self.answer.text
            self.close()
            raise
        except httpx.TransportError as error:
            if not self.whole:
                self.close()
                raise IncompleteStreamError(
                    type(error).__name__, self.answer.text
                ) from error
        self.close()
        if not self.whole:
            raise IncompleteStreamError("the end is missing", self.answer.text)
        raise StopIteration

    def take(self, event):
        try:
            chunk = json.loads(event.data)
            if event.event == "error":
                raise StreamError(event.data)
            if chunk.get("error"):
                raise StreamError(str(chunk["error"]))
            if not {"choices", "usage"} & set(chunk):
                raise StreamError(f"what is this? {event.data}")
        except (ValueError, AttributeError):
            raise StreamError(f"a chunk is damaged: {event.data}") from None
        self.answer.usage = chunk.get("usage") or self.answer.usage
        for choice in chunk.get("choices") or []:
            return self.take_choice(choice)

    def take_choice(self, choice):
        delta = choice.get("delta") or {}
        if choice.get("error"):
            raise StreamError(str(choice["error"]))
        if choice.get("finish_reason"):
            self.answer.finish_reason, self.whole = choice["finish_reason"], True
        for piece in delta.get("tool_calls") or []:
            call = self.calls.setdefault(piece["index"], {"arguments": ""})
            function = piece.get("function") or {}
            call["arguments"] += function.get("arguments") or ""
            for name, value in (
                ("id", piece.get("id")),
                ("name", function.get("name")),
            ):
                if value:
                    call[name] = value
        content = delta.get("content") or ""
        if not isinstance(content, str):
            content = "".join(part.get("text", "") for part in content)
        self.answer.text += content
        return content

    def close(self):
        if self.response:
            self.response.close()
        self.client.close()

    def __del__(self):
        if hasattr(self, "client"):
            self.close()


def stream_chat(messages, *, base_url=None, api_key=None, model=None):
    return Stream({}, messages, base_url, api_key, model)


def collect_chat(messages, *, base_url=None, api_key=None, model=None, tools=None):
    more = {"tools": tools} if tools else {}
    more["stream_options"] = {"include_usage": True}
    stream = Stream(more, messages, base_url, api_key, model)
    for _ in stream:
        pass
    for _, call in sorted(stream.calls.items()):
        function = {"name": call["name"], "arguments": call["arguments"]}
        made = {"id": call["id"], "type": "function", "function": function}
        stream.answer.tool_calls.append(made)
    return stream.answer
