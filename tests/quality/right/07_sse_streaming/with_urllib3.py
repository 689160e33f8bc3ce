"""urllib3 alone, and a decoder that goes from state to state."""

import json
import os
import re
from dataclasses import dataclass, field

import urllib3


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
    text, done = [], False
    with urllib3.PoolManager(retries=False, timeout=20) as pool:
        response = None
        try:
            response = pool.request(
                "POST",
                url,
                json=body,
                headers=headers | {"Content-Type": "application/json"},
                preload_content=False,
            )
            if not response.headers.get("content-type", "").startswith(
                "text/event-stream"
            ):
                raise StreamError(f"status {response.status}: {response.data.decode()}")
            for event in iter_sse(response.stream(None if response.chunked else 1)):
                if event.data == "[DONE]":
                    done = True
                    break
                chunk, choice = read(event, "".join(text))
                done |= bool(choice.get("finish_reason"))
                text.append(text_of(choice))
                yield chunk, choice
        except urllib3.exceptions.HTTPError as error:
            if not done:
                raise IncompleteStreamError(str(error), "".join(text)) from error
        finally:
            if response:
                response.close()
    if not done:
        raise IncompleteStreamError("cut off", "".join(text))


def merged(old, new):
    """Add a piece of a call to what is there, level by level."""
    for name, value in new.items():
        if isinstance(value, dict):
            merged(old.setdefault(name, {}), value)
        elif name == "arguments":
            old[name] = old.get(name, "") + (value or "")
        elif value:
            old[name] = value
    return old


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
    answer, calls = StreamedAnswer(), {}
    for chunk, choice in arriving_chunks(url, headers, body):
        answer.usage = chunk.get("usage") or answer.usage
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        answer.text += text_of(choice)
        for piece in (choice.get("delta") or {}).get("tool_calls") or []:
            index = piece.pop("index")
            calls[index] = merged(calls.get(index, {"type": "function"}), piece)
    answer.tool_calls = [calls[index] for index in sorted(calls)]
    return answer
