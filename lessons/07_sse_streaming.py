"""Show an answer word by word while the model writes it, and know whether it is whole.

One answer comes from the API of your choice, as it arrives. Then the mock server ends
four streams in four ways, and at last two answers arrive at once under asyncio.
It takes about two seconds:
python lessons/07_sse_streaming.py
python lessons/07_sse_streaming.py "What is HTTP?"

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    The sky is blue because air scatters blue light more than red light.
    first piece after 0.04 s, whole after 0.44 s

    outcome    server says  text
    completed  complete     Hello! 你好! 👋
    truncated  complete     Hello! 你
    cancelled  client-gone  Hello! 你
    error      complete     Hello! 你

    The sky is blue because air scatters blue light more than red light.
    Hello! 你好! 👋
    both after 0.46 s
"""

import argparse
import asyncio
import codecs
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import requests
from endpoint import choose_endpoint
from mock_server import MockServer, fault

# --- an event stream: bytes to lines, lines to fields, fields to events ---


@dataclass
class ServerSentEvent:
    """One event of a stream (WHATWG HTML standard, section 9.2).

    retry: milliseconds to wait before connecting again; None if the event has none.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None


class LineSplitter:
    """Puts bytes together to lines, wherever they were cut."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # of the line that has not ended yet
        self._after_cr = False
        self._is_first_line = True

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that end in chunk. A line ends in LF, CR or CR LF."""
        if self._after_cr and chunk:  # that CR and an LF here are one line end
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._parts.append(chunk)
            return []
        first, *others = chunk.split(b"\n")
        lines = [b"".join([*self._parts, first]), *others]
        self._parts = [lines.pop()]
        if self._is_first_line:  # may begin with an invisible mark, the BOM
            lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
            self._is_first_line = False
        return [line.decode("utf-8", errors="replace") for line in lines]


def split_field(line: str) -> tuple[str, str]:
    """Return the name and the value of a field; the name of a comment is empty."""
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")


class EventParser:
    """Turns the bytes of a stream into events, each as soon as its last byte is here.

    It follows the WHATWG HTML standard, section 9.2.6: a block without data is no
    event, and what comes after the last empty line is dropped.
    """

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._event, self._data, self._id = "", [], ""
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that end in chunk."""
        events = []
        for line in self._lines.feed(chunk):
            if line:
                self._take(*split_field(line))
                continue
            if self._data:
                kind, data = self._event or "message", "\n".join(self._data)
                events.append(ServerSentEvent(kind, data, self._id, self._retry))
            self._event, self._data, self._retry = "", [], None  # the id stays
        return events

    def _take(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self._retry = int(value[:4000])  # int() refuses 4,301 digits


def iter_sse(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream, each as soon as it is complete."""
    parser = EventParser()
    for chunk in chunks:
        yield from parser.feed(chunk)


# --- errors: four of lesson 05, and two more ---


class APIError(Exception):
    """Base of every failure of an API call.

    status: the status code; None if no whole reply came.
    code: the short name of the error in the reply's body, such as "invalid_api_key".
    request_id: what to quote when you ask the service for help.
    retry_after: seconds that the server asks you to wait.
    """

    is_retryable = False  # True in a class whose call can succeed later, unchanged

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.request_id, self.retry_after = request_id, retry_after


class AuthenticationError(APIError):
    """The server does not know who you are."""


class InvalidResponseError(APIError):
    """A reply came that is not what this API promises."""


class APIConnectionError(APIError):
    """The call broke off before a whole reply arrived."""

    is_retryable = True


class IncompleteStreamError(APIConnectionError):
    """The stream ended before the answer did. partial: the text so far."""

    def __init__(self, message: str, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class StreamError(APIError):
    """The stream brought an error, or no answer. partial: the text so far."""

    is_retryable = True

    def __init__(self, message: str, partial: str = "", code: Any = None) -> None:
        super().__init__(message, status=200, code=code)
        self.partial = partial


# --- an answer ---


def read_chunk(chunk: dict[str, Any]) -> tuple[str, str | None]:
    """Return the new text in a chunk, "" if it has none, and the finish_reason."""
    for choice in chunk.get("choices") or []:  # the chunk with the usage has none
        if choice.get("index", 0) == 0:
            text = (choice.get("delta") or {}).get("content") or ""
            if not isinstance(text, str):
                raise TypeError(f"the content is no text: {text!r}")
            return text, choice.get("finish_reason")
    return "", None


class Answer:
    """A streamed answer: the text so far, and whether it is whole."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.finish_reason: str | None = None
        self.is_done = False  # True after [DONE]

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    def add(self, event: ServerSentEvent) -> str:
        """Take an event and return the text it brings. Raises StreamError."""
        if event.data.strip() == "[DONE]":
            self.is_done = True
            return ""
        try:
            chunk = json.loads(event.data)
            error = chunk.get("error")
            text, reason = read_chunk(chunk)
        except (ValueError, TypeError, AttributeError) as cause:
            raise StreamError(f"no chunk: {event.data[:60]!r}", self.text) from cause
        if error:
            facts = error if isinstance(error, dict) else {"message": error}
            message, code = str(facts.get("message")), facts.get("code")
            raise StreamError(message, self.text, code)
        self._pieces.append(text)
        self.finish_reason = reason or self.finish_reason
        return text


def is_stream(response: requests.Response | httpx.Response) -> bool:
    """Say whether a reply is an event stream (WHATWG HTML standard, section 9.2.3)."""
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    return response.status_code == 200 and kind.strip().lower() == "text/event-stream"


def refusal(response: requests.Response | httpx.Response) -> APIError:
    """Return the error for a reply that is no stream, in the server's own words."""
    try:
        error = response.json()["error"]
        message, code = error["message"], error.get("code")
    except (ValueError, LookupError, TypeError):
        kind = response.headers.get("Content-Type", "nothing")
        message, code = f"expected a stream, got {kind}: {response.text[:60]!r}", None
    status, request_id = response.status_code, response.headers.get("x-request-id")
    kinds = {200: InvalidResponseError, 401: AuthenticationError}
    error_class = kinds.get(status, APIError)  # lesson 05 has a class for each
    return error_class(message, status=status, code=code, request_id=request_id)


def check_end(answer: Answer | None, cause: Exception | None = None) -> None:
    """Raise an error if neither [DONE] nor a finish_reason has come.

    answer: None if no stream has begun. cause: what broke off the connection.
    """
    if answer is None:
        raise APIConnectionError(f"{type(cause).__name__}: {cause}") from cause
    if not (answer.is_done or answer.finish_reason):
        message = f"the stream ended after {len(answer.text)} characters"
        raise IncompleteStreamError(message, answer.text) from cause


# --- two clients ---


def find_chat(api_key: str | None, base_url: str | None) -> tuple[str, dict[str, str]]:
    """Return the address for chats, and the headers; ValueError if one is missing."""
    api_key = api_key or os.environ.get("OPENAI_API_KEY")
    base_url = base_url or os.environ.get("OPENAI_BASE_URL", "")
    if not api_key or not base_url.startswith(("http://", "https://")):
        raise ValueError("set OPENAI_API_KEY and OPENAI_BASE_URL, or pass both")
    headers = {"Authorization": f"Bearer {api_key}"}
    return f"{base_url.rstrip('/')}/chat/completions", headers


def arriving(response: requests.Response) -> Iterator[bytes]:
    """Return the bytes of a body as they arrive.

    To requests, None means "as it comes" if the body comes in HTTP chunks, and "all at
    once" if it does not; then the bytes are fetched one by one.
    """
    is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return response.iter_content(chunk_size=None if is_chunked else 1)


class StreamingAPIClient:
    """A client for streamed answers, from any API that is compatible with OpenAI's.

    None stands for OPENAI_API_KEY and OPENAI_BASE_URL; ValueError if one is missing.
    """

    timeout = (3.05, 30.0)  # seconds to connect, and seconds of silence

    def __init__(self, api_key: str | None = None, base_url: str | None = None) -> None:
        self._url, headers = find_chat(api_key, base_url)
        self._session = requests.Session()
        self._session.headers.update(headers)

    def chat_completion_stream(self, messages: list, model: str) -> Iterator[str]:
        """Yield the text of an answer as it arrives; closing the iterator hangs up.

        Raises IncompleteStreamError or StreamError, which have the text so far, or
        another APIError if no stream begins.
        """
        body = {"model": model, "messages": messages, "stream": True}
        options = {"json": body, "timeout": self.timeout, "stream": True}
        answer = None
        try:
            with self._session.post(self._url, **options) as response:
                if not is_stream(response):
                    raise refusal(response)
                answer = Answer()
                for event in iter_sse(arriving(response)):
                    if text := answer.add(event):
                        yield text
                    if answer.is_done:
                        return
        except requests.RequestException as cause:
            check_end(answer, cause)
        check_end(answer)


class AsyncStreamingAPIClient:
    """The same client for asyncio, on httpx."""

    def __init__(self, api_key: str | None = None, base_url: str | None = None) -> None:
        self._url, headers = find_chat(api_key, base_url)
        timeout = httpx.Timeout(30.0, connect=3.05)  # seconds
        self._http = httpx.AsyncClient(headers=headers, timeout=timeout)

    async def chat_completion_stream(
        self,
        messages: list,
        model: str,
    ) -> AsyncIterator[str]:
        """Yield the text of an answer as it arrives; see StreamingAPIClient."""
        body = {"model": model, "messages": messages, "stream": True}
        parser, answer = EventParser(), None
        try:
            async with self._http.stream("POST", self._url, json=body) as response:
                if not is_stream(response):
                    await response.aread()
                    raise refusal(response)
                answer = Answer()
                async for chunk in response.aiter_bytes():
                    for event in parser.feed(chunk):
                        if text := answer.add(event):
                            yield text
                        if answer.is_done:
                            return
        except httpx.RequestError as cause:
            check_end(answer, cause)
        check_end(answer)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


# --- the lesson ---

SKY = [{"role": "user", "content": "Why is the sky blue?"}]
HELLO = [{"role": "user", "content": "Say hello"}]


def collect(stream: Iterator[str], enough: int | None = None) -> tuple[str, str]:
    """Read a stream; return how it ended and the text so far.

    enough: the number of pieces after which to leave; None to read them all.
    """
    text = ""
    try:
        with closing(stream):
            for number, piece in enumerate(stream, 1):
                text += piece
                if number == enough:
                    return "cancelled", text
    except IncompleteStreamError as error:
        return "truncated", error.partial
    except StreamError as error:
        return "error", error.partial
    return "completed", text


def show_arrival(stream: Iterator[str]) -> None:
    """Print an answer as it arrives, and the seconds to its first piece and its end."""
    start, first = time.perf_counter(), None
    for piece in stream:
        first = first or time.perf_counter() - start
        print(piece, end="", flush=True)
    total = time.perf_counter() - start
    print(f"\nfirst piece after {first or total:.2f} s, whole after {total:.2f} s\n")


def show_endings(server: MockServer) -> None:
    """Let four streams of the mock server end in four ways."""
    client = StreamingAPIClient(server.api_key, server.base_url)
    server.reset()
    server.script(fault.ok(), fault.truncate(after_events=3), fault.ok())
    server.script(fault.stream_error(after_events=3))
    print(f"{'outcome':<11}{'server says':<13}text")
    for number, enough in enumerate((None, None, 3, None), 1):
        stream = client.chat_completion_stream(HELLO, "mock-small")
        outcome, text = collect(stream, enough)
        record = server.wait_for(number)[-1]
        print(f"{outcome:<11}{record.end:<13}{text}")


async def show_together(server: MockServer) -> None:
    """Let two answers of the mock server arrive at the same time."""
    client = AsyncStreamingAPIClient(server.api_key, server.base_url)

    async def ask(messages: list[dict[str, Any]]) -> str:
        stream = client.chat_completion_stream(messages, "mock-small")
        return "".join([piece async for piece in stream])

    start = time.perf_counter()
    answers = await asyncio.gather(ask(SKY), ask(HELLO))
    await client.close()
    print("", *answers, sep="\n")
    print(f"both after {time.perf_counter() - start:.2f} s")


def main() -> None:
    """Read the command line and run the lesson."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("question", nargs="?", default=SKY[0]["content"])
    messages = [{"role": "user", "content": parser.parse_args().question}]
    with MockServer(token_delay=0.03) as server:
        endpoint = choose_endpoint(server)
        try:
            client = StreamingAPIClient()
            show_arrival(client.chat_completion_stream(messages, endpoint.model))
        except (APIError, ValueError) as error:
            sys.exit(f"{type(error).__name__}: {error}")
        show_endings(server)
        asyncio.run(show_together(server))


if __name__ == "__main__":
    main()
