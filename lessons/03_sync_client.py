"""A client for an LLM API.

Hold a conversation with a language model, through a client of your own.

It takes about a second:
python lessons/03_sync_client.py
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
    n  t(s)  conn  request                    status  fault  end
    1  0.00  #1    GET /v1/models             200     -      complete
    2  0.00  #1    POST /v1/chat/completions  200     -      complete
    3  0.00  #1    POST /v1/chat/completions  200     -      complete
    4  0.00  #1    POST /v1/chat/completions  200     -      complete
"""

import argparse
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import requests
from endpoint import choose_endpoint
from mock_server import MockServer

QUESTIONS = ("My name is Ada.", "Why is the sky blue?", "What is my name?")
# What ends an answer before its end; the last of these is DeepSeek's.
INCOMPLETE = ("length", "content_filter", "insufficient_system_resource")


def read_key(name: str) -> str:
    """Return the API key that the environment variable called name holds.

    Raises ValueError if there is none, before any request is sent.
    """
    key = os.environ.get(name, "").strip()
    if not key:
        raise ValueError(f"no API key: set {name} in the environment or in .env")
    return key


class TimeoutSession(requests.Session):
    """A Session with a timeout for every request that brings none of its own.

    timeout: seconds, or a pair: seconds to connect, seconds to wait for data.
    """

    def __init__(self, timeout: float | tuple[float, float]) -> None:
        super().__init__()
        self.timeout = timeout

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send a request; see requests.Session.request."""
        options.setdefault("timeout", self.timeout)
        return super().request(method, url, **options)


def tidy_address(address: str | None) -> str:
    """Return a base URL without a slash at its end, and with /v1 if it has no path.

    Raises ValueError if it is not the address of an API.
    """
    address = (address or "").strip().rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"no address: set OPENAI_BASE_URL; it cannot be {address!r}")
    return address if parts.path else f"{address}/v1"


def chat_body(messages: list, model: str, temperature: float, max_tokens: int) -> dict:
    """Return the body of a chat request; what models differ in is decided here."""
    body = {"model": model, "messages": messages}
    if model.startswith(("o1", "o3", "o4", "gpt-5")):  # models that reason first
        return body | {"max_completion_tokens": max_tokens}
    return body | {"temperature": temperature, "max_tokens": max_tokens}


def read_answer(reply: dict[str, Any]) -> str:
    """Return the text of the first choice.

    Raises ValueError, with the text so far, if the answer is not complete.
    """
    choice = reply["choices"][0]
    text = choice["message"]["content"] or ""
    if choice["finish_reason"] in INCOMPLETE:
        raise ValueError(f"incomplete ({choice['finish_reason']}): {text!r}")
    return text


class OpenAIClient:
    """A client for any API that is compatible with OpenAI's.

    None stands for OPENAI_API_KEY and OPENAI_BASE_URL in the environment.
    Raises ValueError if there is no key or no address.
    """

    def __init__(self, api_key: str | None = None, base_url: str | None = None) -> None:
        self._api_key = api_key or read_key("OPENAI_API_KEY")
        self.base_url = tidy_address(base_url or os.environ.get("OPENAI_BASE_URL"))
        self.session = TimeoutSession((3.05, 30.0))

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._api_key}"}

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        options = {"headers": self._headers(), "json": body}
        response = self.session.request(method, self.base_url + path, **options)
        response.raise_for_status()
        return response.json()

    def get_models(self) -> list[str]:
        """Return the names of the models that this API offers."""
        return [model["id"] for model in self._request("GET", "/models")["data"]]

    def chat_completion(
        self,
        messages: list[dict[str, Any]],
        model: str,
        temperature: float = 0.7,
        max_tokens: int = 2000,
    ) -> dict[str, Any]:
        """Return the whole reply to a conversation; read_answer finds the text."""
        body = chat_body(messages, model, temperature, max_tokens)
        return self._request("POST", "/chat/completions", body)


def converse(client: OpenAIClient, model: str, options: argparse.Namespace) -> None:
    """Ask the questions in turn; each call sends all that was said before it."""
    messages = [{"role": "system", "content": "Answer in one sentence."}]
    for question in options.questions:
        messages.append({"role": "user", "content": question})
        reply = client.chat_completion(messages, model, max_tokens=options.max_tokens)
        answer = read_answer(reply)
        tokens = reply["usage"]["prompt_tokens"]
        print(f"you:   {question} ({len(messages)} messages, {tokens} tokens)")
        print(f"model: {answer}")
        messages.append({"role": "assistant", "content": answer})


def main() -> None:
    """Read the command line and hold the conversation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("questions", nargs="*", default=QUESTIONS, help="one or more")
    parser.add_argument("--max-tokens", type=int, default=2000, help="for each answer")
    options = parser.parse_args()

    with MockServer() as server:
        endpoint = choose_endpoint(server)
        try:
            client = OpenAIClient()
            print("models:", ", ".join(client.get_models()[:5]))
            converse(client, endpoint.model, options)
        except (ValueError, requests.RequestException) as error:
            sys.exit(f"{type(error).__name__}: {error}")
        if endpoint.is_mock:
            server.show()


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # not every console has every letter
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
