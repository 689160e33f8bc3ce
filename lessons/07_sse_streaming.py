"""Streaming.

Show an answer word by word while the model writes it, and know whether it is whole.

One answer comes from the API of your choice, as it arrives. Then the mock server breaks
four streams, once for the reader that most tutorials show and once for the client of
this lesson. The same client repeats a stream that fails before its first word, and only
such a stream. Finally, two answers arrive at once under asyncio.
The pieces are in robust_client/sse.py, stream.py and async_stream.py.
It takes about two seconds:
python lessons/07_sse_streaming.py
python lessons/07_sse_streaming.py "What is HTTP?"

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    The sky is blue because air scatters blue light more than red light.
    first piece after 0.04 s, whole after 0.45 s

    fault                        tutorial             robust_client
    no_space()                   ''                   'Hello! 你好! 👋'
    bad_json()                   'Hello! 你! 👋'        'Hello! 你' InvalidResponseError
    truncate(after_events=3)     'Hello! 你'           'Hello! 你' IncompleteStreamError
    stream_error(after_events=3) 'Hello! 你' KeyError  'Hello! 你' StreamError

    fails twice before its first word: 'Hello! 你好! 👋'
    fails after its third word: 'Hello! 你' IncompleteStreamError
    n  t(s)  conn  request                    status  fault                     end
    1  0.00  #1    POST /v1/chat/completions  503     status(503)               complete
    2  0.01  #1    POST /v1/chat/completions  200     stream_error()            complete
    3  0.09  #2    POST /v1/chat/completions  200     -                         complete
    4  0.28  #3    POST /v1/chat/completions  200     truncate(after_events=3)  complete

    The sky is blue because air scatters blue light more than red light.
    Hello! 你好! 👋
    both answers at the same time, after 0.48 s
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator

import requests
from endpoint import choose_endpoint, run_main
from mock_server import MockServer, fault
from robust_client.async_stream import StreamingAsyncClient
from robust_client.errors import APIError
from robust_client.retry import retry_on_error
from robust_client.stream import StreamingAPIClient

SKY = [{"role": "user", "content": "Why is the sky blue?"}]
HELLO = [{"role": "user", "content": "Say hello"}]
TROUBLES = (
    fault.no_space(),
    fault.bad_json(),
    fault.truncate(after_events=3),
    fault.stream_error(after_events=3),
)


def plain_stream(server: MockServer) -> Iterator[str]:
    """Yield the text of an answer, as most tutorials do it."""
    body = {"model": "mock-small", "messages": HELLO, "stream": True}
    options = {"headers": {"Authorization": f"Bearer {server.api_key}"}, "timeout": 30}
    address = f"{server.base_url}/chat/completions"
    with requests.post(address, json=body, stream=True, **options) as response:
        for line in response.iter_lines():
            if line.startswith(b"data: "):
                try:
                    chunk = json.loads(line[6:])  # without b"data: "
                except json.JSONDecodeError:
                    continue  # [DONE] is not JSON
                yield chunk["choices"][0]["delta"].get("content", "")


def read(stream: Iterator[str]) -> str:
    """Return the text of a stream, and the name of the error that it ended in."""
    text = ""
    try:
        for piece in stream:
            text += piece
    except Exception as error:
        return f"{text!r} {type(error).__name__}"
    return repr(text)


def show_arrival(stream: Iterator[str]) -> None:
    """Print an answer as it arrives, and the seconds to its first piece and its end."""
    start, first = time.perf_counter(), None
    for piece in stream:
        first = first or time.perf_counter() - start
        print(piece, end="", flush=True)
    total = time.perf_counter() - start
    print(f"\nfirst piece after {first or total:.2f} s, whole after {total:.2f} s")


def show_troubles(server: MockServer, client: StreamingAPIClient) -> None:
    """Let two readers read the same broken streams."""
    print(f"\n{'fault':<28} {'tutorial':<20} robust_client")
    for trouble in TROUBLES:
        server.script(trouble, trouble)
        plain = read(plain_stream(server))
        ours = read(client.chat_completion_stream(HELLO))
        print(f"{trouble!s:<28} {plain:<20} {ours}")


def show_retries(server: MockServer, client: StreamingAPIClient) -> None:
    """Let streams fail before their first word, and after it."""
    server.reset()
    server.script(fault.status(503), fault.stream_error(), fault.ok())
    print("\nfails twice before its first word:", end=" ")
    print(read(client.chat_completion_stream(HELLO)))
    server.script(fault.truncate(after_events=3))
    print("fails after its third word:", end=" ")
    print(read(client.chat_completion_stream(HELLO)))
    server.show()


async def show_together(server: MockServer) -> None:
    """Let two answers arrive at the same time."""
    account = (server.api_key, server.base_url, "mock-small")
    async with StreamingAsyncClient(*account) as client:

        async def ask(messages: list[dict[str, str]]) -> str:
            stream = client.chat_completion_stream(messages)
            return "".join([piece async for piece in stream])

        start = time.perf_counter()
        answers = await asyncio.gather(ask(SKY), ask(HELLO))
    seconds = time.perf_counter() - start
    print("", *answers, sep="\n")
    print(f"both answers at the same time, after {seconds:.2f} s")


def main() -> None:
    """Read the command line and run the lesson."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("question", nargs="?", default=SKY[0]["content"])
    messages = [{"role": "user", "content": parser.parse_args().question}]
    with MockServer(token_delay=0.03) as server:
        choose_endpoint(server)
        try:
            with StreamingAPIClient() as client:
                show_arrival(client.chat_completion_stream(messages))
        except (APIError, ValueError) as error:
            sys.exit(f"{type(error).__name__}: {error}")
        retry = retry_on_error(initial_delay=0.05)  # seconds
        account = (server.api_key, server.base_url, "mock-small")
        with StreamingAPIClient(*account, retry=retry) as client:
            show_troubles(server, client)
            show_retries(server, client)
        asyncio.run(show_together(server))


if __name__ == "__main__":
    run_main(main)
