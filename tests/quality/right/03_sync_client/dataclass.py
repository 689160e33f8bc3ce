"""A dataclass whose repr leaves out the key, and no Session until one is needed."""

import os
import string
from dataclasses import dataclass, field
from functools import cached_property

import requests


@dataclass
class ChatClient:
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    model: str | None = None
    timeout: tuple[float, float] = (3.05, 30)
    history: list = field(default_factory=list, repr=False)

    def __post_init__(self):
        self.api_key = self.api_key or os.getenv("OPENAI_API_KEY")
        self.base_url = self.base_url or os.getenv("OPENAI_BASE_URL")
        self.model = self.model or os.getenv("OPENAI_MODEL")
        if not self.api_key or not self.base_url:
            raise ValueError("an API key and an address are needed")
        self.api_key = self.api_key.strip()
        if not set(self.api_key) <= set(string.ascii_letters + string.digits + "-_."):
            raise ValueError("a key is letters, digits, dots and dashes")

    @cached_property
    def session(self):
        session = requests.Session()
        session.auth = self.sign
        return session

    def sign(self, request):
        request.headers["Authorization"] = "Bearer " + self.api_key
        return request

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.session.close()

    def _json(self, response):
        if response.ok and not response.is_redirect:
            return response.json()
        raise requests.HTTPError(str(response.status_code), response=response)

    def _url(self, path):
        return self.base_url.removesuffix("/") + path

    def chat(self, messages, **options):
        body = dict(options, model=self.model, messages=messages)
        return self._json(
            self.session.post(
                self._url("/chat/completions"),
                json=body,
                timeout=self.timeout,
                allow_redirects=False,
            )
        )

    def models(self):
        listed = self._json(
            self.session.get(
                self._url("/models"), timeout=self.timeout, allow_redirects=False
            )
        )
        try:
            return list(map(lambda model: model["id"], listed["data"]))
        except KeyError as error:
            raise ValueError(f"no models in {listed}") from error

    def ask(self, prompt, system=None):
        messages = self.history.copy()
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        messages.append({"role": "user", "content": prompt})
        match self.chat(messages):
            case {"error": error} | {"choices": [{"error": error}, *_]}:
                raise ValueError(error)
            case {
                "choices": [
                    {"finish_reason": "length" | "content_filter" | "error"},
                    *_,
                ]
            }:
                raise ValueError("the answer is not complete")
            case {"choices": [{"message": {"content": str() as text}}, *_]}:
                pass
            case {"choices": [{"message": {"content": list() as parts}}, *_]}:
                text = "".join(p["text"] for p in parts if p.get("type") == "text")
            case reply:
                raise ValueError(f"no answer in {reply}")
        self.history.append(messages[-1])
        self.history.append({"role": "assistant", "content": text})
        return text
