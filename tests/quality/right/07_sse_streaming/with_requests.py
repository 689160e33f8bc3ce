"""requests, and the simplest parser there is: one byte after the other."""

import json
import os
from dataclasses import dataclass, field

import requests


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


def text_of(choice):
    content = (choice.get("delta") or {}).get("content") or ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    return content


def chunks_of(messages, base_url, api_key, model, **more):
    base_url = base_url or os.environ.get("OPENAI_BASE_URL")
    api_key = api_key or os.environ.get("OPENAI_API_KEY")
    model = model or os.environ.get("OPENAI_MODEL")
    if not (base_url and api_key and model):
        raise ValueError("base_url, api_key and model are needed")
    url = base_url.rstrip("/") + "/chat/completions"
    body = {"model": model, "messages": messages, "stream": True, **more}
    headers = {"Authorization": f"Bearer {api_key}"}
    partial, finished = "", False
    try:
        with requests.post(
            url, json=body, headers=headers, stream=True, timeout=(3.05, 30)
        ) as response:
            if (
                response.status_code != 200
                or "text/event-stream" not in response.headers["Content-Type"]
            ):
                raise StreamError(f"{response.status_code}: {response.text[:200]}")
            for event in iter_sse(
                response.iter_content(
                    None if "Transfer-Encoding" in response.headers else 1
                )
            ):
                if event.data == "[DONE]":
                    return
                try:
                    chunk = json.loads(event.data)
                except ValueError as error:
                    raise StreamError(f"damaged: {event.data[:50]}", partial) from error
                if not isinstance(chunk, dict):
                    raise StreamError(f"no chunk: {event.data[:50]}", partial)
                if event.event == "error" or chunk.get("error"):
                    raise StreamError(f"the server says {event.data}", partial)
                if "choices" not in chunk and "usage" not in chunk:
                    raise StreamError(f"neither: {event.data[:50]}", partial)
                for choice in chunk.get("choices", []):
                    if choice.get("error"):
                        raise StreamError(f"the server says {event.data}", partial)
                    finished = finished or bool(choice.get("finish_reason"))
                    partial += text_of(choice)
                yield chunk
    except requests.RequestException as error:
        if not finished:
            raise IncompleteStreamError("the connection broke", partial) from error
    if not finished:
        raise IncompleteStreamError("the stream was cut off", partial)


def stream_chat(messages, *, base_url=None, api_key=None, model=None):
    for chunk in chunks_of(messages, base_url, api_key, model):
        for choice in chunk.get("choices", []):
            text = text_of(choice)
            if text:
                yield text


def collect_chat(messages, *, base_url=None, api_key=None, model=None, tools=None):
    more = {"stream_options": {"include_usage": True}}
    if tools:
        more["tools"] = tools
    answer, calls = StreamedAnswer(), {}
    for chunk in chunks_of(messages, base_url, api_key, model, **more):
        answer.usage = chunk.get("usage") or answer.usage
        for choice in chunk.get("choices", []):
            answer.text += text_of(choice)
            answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
            for piece in (choice.get("delta") or {}).get("tool_calls") or []:
                index = piece["index"]
                if index not in calls:
                    function = {"name": None, "arguments": ""}
                    calls[index] = {"id": None, "type": "function"}
                    calls[index]["function"] = function
                function = calls[index]["function"]
                news = piece.get("function") or {}
                calls[index]["id"] = calls[index]["id"] or piece.get("id")
                function["name"] = function["name"] or news.get("name")
                function["arguments"] += news.get("arguments") or ""
    answer.tool_calls = [calls[index] for index in sorted(calls)]
    return answer
