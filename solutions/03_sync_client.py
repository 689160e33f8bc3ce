"""Solution 03: a client that holds a conversation over one connection.

Source: https://platform.openai.com/docs/api-reference/chat
"""

import json
import os
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

# What ends an answer before its end. Servers have many other words for a good end.
INCOMPLETE = ("length", "content_filter", "insufficient_system_resource", "error")


class ChatClient:
    """A conversation with a model, at any API that is compatible with OpenAI's.

    api_key, base_url, model: without them, OPENAI_API_KEY, OPENAI_BASE_URL and
        OPENAI_MODEL are read from the environment. ValueError if the key or the address
        is missing or empty. No part of the key is in a repr. The address may end in a
        slash; its path stays as it is.
    timeout: seconds to connect, and seconds of silence, for every request; one number
        for both, or two.
    history: all questions and answers so far, oldest first, as messages with only a
        role and a content.

    All calls use one connection. close() closes it, and so does the end of a `with`
    block, which lets an error in the block out. Every call raises requests.HTTPError,
    or your library's own error for it, for a 4xx or 5xx status, whatever the body is;
    the next call works again.

    Further, if you like:
    - The caller may change or replace history, to go on with yesterday's conversation.
    - A redirect is not followed, and is an error like a 4xx.
    - After a timeout, the next call works again.
    - Spaces and line ends around the key are removed. A key with one inside is a
      ValueError that does not quote it. A login in ~/.netrc does not replace the key.
    - If the content is a list of parts, ask joins their texts. If it is null, ask
      returns "" or raises ValueError.
    - A reply without an answer, without the list of models, or with an "error" in it or
      in its choice, is a ValueError.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        timeout: float | tuple[float, float] = (3.05, 30),
    ) -> None:
        api_key = (api_key or os.environ.get("OPENAI_API_KEY") or "").strip()
        base_url = (base_url or os.environ.get("OPENAI_BASE_URL") or "").strip()
        if not api_key:
            raise ValueError("no API key: set OPENAI_API_KEY, or pass api_key")
        if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("the API key has a character that no key has")
        if not base_url:
            raise ValueError("no address: set OPENAI_BASE_URL, or pass base_url")
        self.base_url = base_url.rstrip("/")
        self.model = model or os.environ.get("OPENAI_MODEL")
        self.timeout = timeout
        self.history: list[dict[str, Any]] = []
        self._session = requests.Session()
        self._session.auth = _BearerAuth(api_key)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(base_url={self.base_url!r}, model={self.model!r})"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def ask(self, prompt: str, system: str | None = None) -> str:
        """Go on with the conversation: ask this, and return the text of the answer.

        system: instructions that go first; they are not kept in history.
        ValueError for half an answer: its finish_reason is "length", "content_filter"
        or "error". A good end is any other word, such as "eos_token", or none at all.
        A call that fails leaves history as it was.
        """
        question = {"role": "user", "content": prompt}
        instructions = [{"role": "system", "content": system}] if system else []
        reply = self.chat([*instructions, *self.history, question])
        text = self._answer_in(reply)
        self.history += [question, {"role": "assistant", "content": text}]
        return text

    def chat(self, messages: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
        """Send these messages, without the history, and return the whole reply.

        messages: a list; leave it as it is.
        options: more fields of the request, such as temperature=0 or max_tokens=100.
        """
        body = {"model": self.model, "messages": messages, **options}
        return self._request("POST", "/chat/completions", body)

    def models(self) -> list[str]:
        """Return the names of the models that this API offers."""
        reply = self._request("GET", "/models")
        try:
            return [model["id"] for model in reply["data"]]
        except (LookupError, TypeError) as error:
            message = self._hide_key(f"there are no models in the reply {reply!r}")
            raise ValueError(message) from error

    def _request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request, follow no redirect, and return the JSON of the reply."""
        response = self._session.request(
            method,
            self.base_url + path,
            json=body,
            timeout=self.timeout,
            allow_redirects=False,
        )
        if response.status_code // 100 != 2:
            words = self._hide_key(_words_in(response))[:300]
            raise requests.HTTPError(words, response=response)
        return json.loads(response.content)  # UTF-8, whatever the header says

    def _answer_in(self, reply: Any) -> str:
        """Return the text of a reply's first choice, "" if the server sent null.

        Raises ValueError, with what the server says, if there is none, or half of one.
        """
        try:
            choice = reply["choices"][0]
            content, end = choice["message"]["content"], choice.get("finish_reason")
            if isinstance(content, list):  # some servers send it in parts
                texts = [part for part in content if part.get("type") == "text"]
                content = "".join(part["text"] for part in texts)
            content = "" + (content or "")  # a TypeError for what is no text
        except (LookupError, TypeError, AttributeError) as error:
            message = self._hide_key(f"there is no answer in the reply {reply!r}")
            raise ValueError(message) from error
        if choice.get("error") or reply.get("error") or end in INCOMPLETE:
            message = f"no whole answer ({end}): {content!r} in {reply!r}"
            raise ValueError(self._hide_key(message))
        return content

    def _hide_key(self, text: str) -> str:
        """Return what a server said with … for the key: errors end up in logs."""
        return text.replace(self._session.auth.key, "…")


def _words_in(response: requests.Response) -> str:
    """Return what the server says about a failure, or to which host it redirects."""
    if response.is_redirect:
        with suppress(ValueError):  # for anything but an address
            place = urlsplit(urljoin(response.url, response.headers["Location"]))
            return f"{response.status_code}: redirected to {place.hostname}"
    words = response.content.decode("utf-8", "replace")
    return f"{response.status_code} {response.reason}: {words}"


class _BearerAuth(AuthBase):
    """Puts the key on each request, and has a repr without it."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request
