"""Errors you can act on.

First a client in the style of most tutorials meets three failures, and tells you next
to nothing about them. Then a client with one family of errors meets twelve: a table
decides which error each one becomes, and whether the same call can succeed later. It
takes about a second.

Shows: robust_client/replies.py and robust_client/errors.py
Run:   python lessons/05_error_classes.py

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    The capital of France is Paris.

    As tutorials do it
    the API failed: 404 Client Error: Not Found for url: ...
    the API failed: 429 Client Error: Too Many Requests for url: ...
    the API failed: 'choices'
    n  t(s)  conn  request                    status  fault           end
    1  0.00  #1    POST /v1/chat/completions  404     -               complete
    2  0.01  #1    POST /v1/chat/completions  429     quota()         complete
    3  0.02  #1    POST /v1/chat/completions  200     stream_error()  complete

    With errors of our own
    NotFoundError 404 model_not_found
    The model 'mock-smal' does not exist; GET /v1/models lists those that do.

    fault                 error                 again what to do
    status(401)           AuthenticationError   no    check the key and its source
    status(404)           NotFoundError         no    check the address and the model
    status(429)           RateLimitError        yes   wait for retry_after, then repeat
    quota()               QuotaExceededError    no    add money: waiting does not help
    html(502)             ServerError           yes   wait a little, repeat if safe
    bad_json()            InvalidResponseError  no    read the reply: who sent it?
    stream_error()        ServerError           yes   stopped midway: repeat if safe
    hang()                APITimeoutError       yes   repeat if safe
    stall(after_events=0) APITimeoutError       yes   repeat if safe
    cut(after_bytes=40)   APIConnectionError    yes   is it up? repeat if safe
    drop("rst")           APIConnectionError    yes   is it up? repeat if safe
    nothing listens       APIConnectionError    yes   is it up? repeat if safe

    4 of 11 had the status 200, and no answer.
"""

import argparse
from textwrap import shorten

from endpoint import choose_endpoint, run_main
from mock_server import MockServer, fault
from robust_client.chat import OpenAIClient, read_answer
from robust_client.errors import APIError, CheckedAPIClient

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
FAULTS = (
    fault.status(401),
    fault.status(404),
    fault.status(429),
    fault.quota(),
    fault.html(502),
    fault.bad_json(),
    fault.stream_error(),
    fault.hang(),
    fault.stall(after_events=0),
    fault.cut(after_bytes=40),
    fault.drop("rst"),
)


def ask_as_tutorials_do(client: OpenAIClient, model: str = "mock-small") -> str | None:
    """Return the answer, or print what went wrong, and go on without one."""
    try:
        reply = client.chat_completion(QUESTION, model)
        return reply["choices"][0]["message"]["content"]
    except Exception as error:
        print("the API failed:", shorten(str(error), 48, placeholder=" ..."))
        return None


def show_plain_client(server: MockServer) -> None:
    """A wrong name, an empty account, and an error inside a 200: what do we learn?"""
    with OpenAIClient(server.api_key, server.base_url) as client:
        ask_as_tutorials_do(client, model="mock-smal")
        server.script(fault.quota(), fault.stream_error())
        ask_as_tutorials_do(client)
        ask_as_tutorials_do(client)
    server.show()


def show_failure(client: CheckedAPIClient, trouble: str) -> None:
    """Make one call, and print one line about its failure."""
    try:
        client.chat_completion(QUESTION)
    except APIError as error:
        again = "yes" if error.is_retryable else "no"
        name, advice = type(error).__name__, error.__notes__[0]
        print(f"{trouble:<22}{name:<22}{again:<6}{advice}")


def show_checked_client(server: MockServer) -> None:
    """Make a call for each fault, and a last one when the server is gone."""
    client = CheckedAPIClient(server.api_key, server.base_url, "mock-small", (5.0, 0.3))
    with client:
        try:
            client.chat_completion(QUESTION, "mock-smal")
        except APIError as error:
            print(type(error).__name__, error.status, error.code)
            print(error)

        print(f"\n{'fault':<22}{'error':<22}{'again':<6}what to do")
        server.reset()
        for trouble in FAULTS:
            server.script(trouble)
            show_failure(client, str(trouble))
        records = server.records
        server.stop()
        show_failure(client, "nothing listens")
    good = [record for record in records if record.status == 200]
    print(f"\n{len(good)} of {len(records)} had the status 200, and no answer.")


def main() -> None:
    """Make one call that succeeds, and then those that fail."""
    about = (__doc__ or "").partition("\n\n")[0]
    argparse.ArgumentParser(description=about).parse_args()
    with MockServer() as server:
        choose_endpoint(server)
        with CheckedAPIClient() as client:
            print(read_answer(client.chat_completion(QUESTION)))

        print("\nAs tutorials do it")
        server.reset()
        show_plain_client(server)
        print("\nWith errors of our own")
        show_checked_client(server)


if __name__ == "__main__":
    run_main(main)
