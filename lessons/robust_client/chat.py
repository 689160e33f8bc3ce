"""Lesson 03: a client for chat completions, on one connection.

It talks to any API that is compatible with OpenAI's:
https://platform.openai.com/docs/api-reference/chat
"""

import json
import os
import warnings
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import requests

from .keys import hide_keys, tidy_key

# What stops an answer before its end. A good end has many words: stop, eos_token, STOP.
BAD_ENDS = ("length", "content_filter", "insufficient_system_resource", "error")


def tidy_address(address: str | None) -> str:
    """Return a base URL without a slash at its end, and with /v1 if it has no path.

    Raises ValueError, which does not quote it, if it is not the address of an API.
    """
    address = (address or "").strip().rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no address: set OPENAI_BASE_URL to one with https:// in it")
    return address if parts.path else f"{address}/v1"


def chat_body(messages: list, model: str, temperature: float, max_tokens: int) -> dict:
    """Return the body of a chat request. How models differ is decided here.

    Raises ValueError if there is no model.
    """
    if not model:
        raise ValueError("no model: pass one, or set OPENAI_MODEL")
    body = {"model": model, "messages": messages}
    if model.startswith(("o1", "o3", "o4", "gpt-5")):  # models that reason first
        return body | {"max_completion_tokens": max_tokens}
    return body | {"temperature": temperature, "max_tokens": max_tokens}


def join_parts(content: Any) -> str | None:
    """Return the text of a message's content, or None if it is null.

    Some servers send a list of parts; those that are not text are left out.
    Raises TypeError or AttributeError for anything else.
    """
    if content is None or isinstance(content, str):
        return content
    texts = [part for part in content if part.get("type", "text") == "text"]
    return "".join(part.get("text") or "" for part in texts)


def find_text(reply: dict[str, Any]) -> str | None:
    """Return the text of the first choice, or None if the server sent null.

    Raises ValueError, with the server's words and the text so far, if it is not whole.
    """
    try:
        choice = reply["choices"][0]
        text = join_parts(choice["message"]["content"])
        error = reply.get("error") or choice.get("error")
        end = choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError) as cause:
        start = hide_keys(str(reply))[:200]
        raise ValueError(f"no answer in this reply: {start}") from cause
    if error or end in BAD_ENDS:
        raise ValueError(hide_keys(f"incomplete ({error or end}): {text!r}"))
    return text


def read_answer(reply: dict[str, Any]) -> str:
    """Return the text of the first choice; "" and a warning if the server sent null."""
    text = find_text(reply)
    if text is None:
        warnings.warn("the answer has no text: its content is null", stacklevel=2)
    return text or ""


def refuse_redirect(response: Any) -> str:
    """Return the sentence for a redirect, which no client here follows with its key."""
    try:
        host = urlsplit(response.headers["Location"]).hostname or "the same host"
    except (KeyError, ValueError):
        return f"{response.status_code}, and no address to go to"
    return f"{response.status_code}: redirected to {host}; the key does not go there"


def read_json(response: requests.Response) -> Any:
    """Return the JSON of a good reply. JSON is UTF-8, whatever the header says.

    Raises requests.HTTPError for any status but 2xx, ValueError if it is not JSON.
    """
    response.raise_for_status()
    if response.status_code // 100 != 2:  # raise_for_status lets a redirect pass
        raise requests.HTTPError(refuse_redirect(response), response=response)
    return json.loads(response.content)


class Account:
    """The address of an API, a key to it, and a model.

    None stands for OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL in the environment.
    Raises ValueError if there is no key or no address.
    """

    def __init__(
        self, api_key: str | None, base_url: str | None, model: str | None
    ) -> None:
        self._api_key = tidy_key(api_key or os.environ.get("OPENAI_API_KEY"))
        self.base_url = tidy_address(base_url or os.environ.get("OPENAI_BASE_URL"))
        self.model = model or os.environ.get("OPENAI_MODEL")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._api_key}"}

    def _authorize(self, request: Any) -> Any:
        """Put the key on a request. A library that calls this ignores ~/.netrc."""
        request.headers.update(self._headers())
        return request


class Connection(Account, AbstractContextManager):
    """An account, and a connection that stays open for many requests.

    timeout: seconds to connect, and seconds of silence.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        timeout: float | tuple[float, float] = (3.05, 30.0),
    ) -> None:
        super().__init__(api_key, base_url, model)
        self.timeout = timeout
        self.session = requests.Session()
        self.session.auth = self._authorize

    def _send(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Send a request and return its response. A redirect is not followed."""
        more |= {"json": body, "timeout": self.timeout, "allow_redirects": False}
        return self.session.request(method, self.base_url + path, **more)

    def close(self) -> None:
        """Close the connection; the end of a `with` block does this too."""
        self.session.close()

    def __exit__(self, *_: object) -> None:
        self.close()


class OpenAIClient(Connection):
    """A client for any API that is compatible with OpenAI's."""

    def get_models(self) -> list[str]:
        """Return the names of the models that this API offers."""
        reply = self._request("GET", "/models")
        try:
            return [model["id"] for model in reply["data"]]
        except (LookupError, TypeError) as cause:
            raise ValueError(f"no models in {hide_keys(str(reply))[:200]}") from cause

    def chat_completion(
        self,
        messages: list[dict[str, Any]],
        model: str | None = None,
        temperature: float = 0.7,
        max_tokens: int = 2000,
    ) -> dict[str, Any]:
        """Return the whole reply to a conversation; read_answer finds the text.

        model: None for the client's own.
        """
        body = chat_body(messages, model or self.model, temperature, max_tokens)
        return self._request("POST", "/chat/completions", body)

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        return self._handle_response(self._send(method, path, body))

    def _handle_response(self, response: requests.Response) -> Any:
        return read_json(response)
