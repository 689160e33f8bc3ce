"""Only [DONE] ends an answer, though some servers never send it.

Rejected by: test_two_ways_to_end
Keeps: 18 points
"""

import json
import os
from dataclasses import dataclass

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


def stream_chat(messages, *, base_url=None, api_key=None, model=None):
    base_url = base_url or os.environ.get("OPENAI_BASE_URL")
    api_key = api_key or os.environ.get("OPENAI_API_KEY")
    model = model or os.environ.get("OPENAI_MODEL")
    if not (base_url and api_key and model):
        raise ValueError("base_url, api_key and model are needed")
    url = base_url.rstrip("/") + "/chat/completions"
    body = {"model": model, "messages": messages, "stream": True}
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
                if "error" in chunk:
                    raise StreamError(chunk["error"]["message"], partial)
                for choice in chunk.get("choices", []):
                    finished = False
                    text = choice.get("delta", {}).get("content")
                    if text:
                        partial += text
                        yield text
    except requests.RequestException as error:
        if not finished:
            raise IncompleteStreamError("the connection broke", partial) from error
    if not finished:
        raise IncompleteStreamError("the stream was cut off", partial)
