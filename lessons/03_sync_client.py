"""A client for an LLM API.

First a conversation, with the API of your choice. Then five kinds of trouble, made by a
mock server: the call that most tutorials show meets each of them, and so does
OpenAIClient. The last tables are what the server saw. It takes two seconds.

Shows: robust_client/chat.py
Run:   python lessons/03_sync_client.py
       python lessons/03_sync_client.py "My name is Lin." "What is my name?"
       python lessons/03_sync_client.py --max-tokens 5     the answer is cut off

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    models: mock-small, mock-large
    you:   My name is Ada. (2 messages, 10 tokens)
    model: This is a mock answer to: My name is Ada.
    you:   Why is the sky blue? (4 messages, 28 tokens)
    model: The sky is blue because air scatters blue light more than red light.
    you:   What is my name? (6 messages, 47 tokens)
    model: Your name is Ada.

    As most tutorials do it
    only 5 tokens     The sky is blue because
    text in parts     [{'type': 'text', 'text': 'The sky is blue because air scatter
    ends in an error  The sky is blue because air scatters blue light more than red
    0.6 s of silence  The sky is blue because air scatters blue light more than red
    slash at the end  HTTPError
    n  t(s)  conn  request                     status  fault            end
    1  0.00  #1    POST /v1/chat/completions   200     -                complete
    2  0.02  #2    POST /v1/chat/completions   200     parts()          complete
    3  0.04  #3    POST /v1/chat/completions   200     finish("error")  complete
    4  0.06  #4    POST /v1/chat/completions   200     delay(0.6)       complete
    5  0.68  #5    POST /v1//chat/completions  404     -                complete

    With OpenAIClient
    only 5 tokens     ValueError: incomplete (length): 'The sky is blue because'
    text in parts     The sky is blue because air scatters blue light more than red
    ends in an error  ValueError: incomplete (error): 'The sky is blue because air s
    0.6 s of silence  ReadTimeout
    slash at the end  The sky is blue because air scatters blue light more than red
    n  t(s)  conn  request                    status  fault            end
    1  0.00  #1    POST /v1/chat/completions  200     -                complete
    2  0.02  #1    POST /v1/chat/completions  200     parts()          complete
    3  0.04  #1    POST /v1/chat/completions  200     finish("error")  complete
    4  0.06  #1    POST /v1/chat/completions  -       delay(0.6)       client-gone
    5  0.37  #2    POST /v1/chat/completions  200     -                complete
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import requests
from endpoint import choose_endpoint, run_main
from mock_server import MockServer, fault
from robust_client.chat import OpenAIClient, read_answer

QUESTIONS = ("My name is Ada.", "Why is the sky blue?", "What is my name?")
SKY = [{"role": "user", "content": "Why is the sky blue?"}]
# What is unusual, the server's part in it, options of the call, the address's end.
TROUBLES = (
    ("only 5 tokens", fault.ok(), {"max_tokens": 5}, ""),
    ("text in parts", fault.parts(), {}, ""),
    ("ends in an error", fault.finish("error"), {}, ""),
    ("0.6 s of silence", fault.delay(0.6), {}, ""),
    ("slash at the end", fault.ok(), {}, "/"),
)


def converse(client: OpenAIClient, questions: list[str], max_tokens: int) -> None:
    """Ask the questions in turn; each call sends all that was said before it."""
    messages = [{"role": "system", "content": "Answer in one sentence."}]
    for question in questions:
        messages.append({"role": "user", "content": question})
        reply = client.chat_completion(messages, max_tokens=max_tokens)
        answer = read_answer(reply)
        tokens = (reply.get("usage") or {}).get("prompt_tokens", "unknown")
        print(f"you:   {question} ({len(messages)} messages, {tokens} tokens)")
        print(f"model: {answer}")
        messages.append({"role": "assistant", "content": answer})


def plain_chat(server: MockServer, end: str, **options: Any) -> str:
    """Return the answer, as most tutorials find it: no timeout, and no look at the end.

    Their `session.timeout = 0.3`, which requests never reads, is here too.
    """
    session = requests.Session()
    session.timeout = 0.3
    response = session.post(
        f"{server.base_url}{end}/chat/completions",
        json={"model": "mock-small", "messages": SKY, **options},
        headers={"Authorization": f"Bearer {server.api_key}"},
    )
    response.raise_for_status()
    return response.json()["choices"][0]["message"]["content"]


def client_chat(client: OpenAIClient, _: str, **options: Any) -> str:
    """Return the answer, as the package finds it. Its address always has the slash."""
    return read_answer(client.chat_completion(SKY, **options))


def meet_troubles(server: MockServer, title: str, ask: Callable[..., str]) -> None:
    """Call once for each kind of trouble; print what comes of it, then the records.

    ask: takes the end of the address, and the options of the call.
    """
    print(f"\n{title}")
    server.reset()
    for name, trouble, options, end in TROUBLES:
        server.script(trouble)
        try:
            result = ask(end, **options)
        except requests.RequestException as error:
            result = type(error).__name__
        except ValueError as error:
            result = f"ValueError: {error}"
        print(f"{name:<17} {str(result)[:62]}")
    server.show()


def main() -> None:
    """Read the command line, hold the conversation, and compare the two clients."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("questions", nargs="*", default=QUESTIONS, help="one or more")
    parser.add_argument("--max-tokens", type=int, default=2000, help="for each answer")
    options = parser.parse_args()

    with MockServer() as server:
        choose_endpoint(server)
        try:
            with OpenAIClient() as client:
                print("models:", ", ".join(client.get_models()[:5]))
                converse(client, options.questions, options.max_tokens)
        except (ValueError, requests.RequestException) as error:
            sys.exit(f"{type(error).__name__}: {error}")

        meet_troubles(server, "As most tutorials do it", partial(plain_chat, server))
        account = (server.api_key, f"{server.url}/", "mock-small")
        with OpenAIClient(*account, timeout=0.3) as client:
            meet_troubles(server, "With OpenAIClient", partial(client_chat, client))


if __name__ == "__main__":
    run_main(main)
