"""The standard library only: one http.client connection."""

import http.client
import json
import os
from urllib.parse import urlsplit


class ChatClient:
    def __init__(self, api_key=None, base_url=None, model=None, timeout=(3.05, 30)):
        self.__key = api_key or os.environ.get("OPENAI_API_KEY")
        if not self.__key:
            raise ValueError("a key, please: OPENAI_API_KEY")
        self.__key = self.__key.strip()
        if not (self.__key.isascii() and self.__key.isprintable()) or " " in self.__key:
            raise ValueError("the key has a character that no key has")
        address = urlsplit(base_url or os.environ.get("OPENAI_BASE_URL", ""))
        if not address.hostname:
            raise ValueError("an address, please: OPENAI_BASE_URL")
        self.prefix = address.path.rstrip("/")
        self.model = model or os.environ.get("OPENAI_MODEL")
        self.history = []
        seconds = timeout[1] if isinstance(timeout, tuple) else timeout
        self.connection = http.client.HTTPConnection(address.netloc, timeout=seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def _call(self, method, path, body=None):
        headers = {
            "Authorization": "Bearer " + self.__key,
            "Content-Type": "application/json",
        }
        try:
            self.connection.request(
                method, self.prefix + path, body and json.dumps(body), headers
            )
            response = self.connection.getresponse()
            text = response.read()
        except OSError:  # the reply may still come, and must not answer the next call
            self.connection.close()
            raise
        if not 200 <= response.status < 300:
            raise OSError(f"{response.status} {response.reason}")
        return json.loads(text)

    def chat(self, messages, **options):
        return self._call(
            "POST",
            "/chat/completions",
            {"model": self.model, "messages": messages, **options},
        )

    def models(self):
        reply = self._call("GET", "/models")
        try:
            return [model["id"] for model in reply["data"]]
        except LookupError as error:
            raise ValueError(f"{reply} has no models") from error

    def ask(self, prompt, system=None):
        messages = [{"role": "system", "content": system}] if system else []
        messages += self.history
        messages.append({"role": "user", "content": prompt})
        reply = self.chat(messages)
        try:
            choice = reply["choices"][0]
            if reply.get("error") or choice.get("error"):
                raise KeyError("error")
            text = choice["message"]["content"] or ""
            if not isinstance(text, str):
                text = "".join(part.get("text", "") for part in text if is_text(part))
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{reply} has no answer") from error
        if choice.get("finish_reason") in ("length", "content_filter", "error"):
            raise ValueError(choice["finish_reason"])
        self.history.extend([messages[-1], {"role": "assistant", "content": text}])
        return text


def is_text(part):
    return part.get("type", "text") == "text"
