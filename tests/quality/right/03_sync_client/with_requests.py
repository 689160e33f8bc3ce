"""requests, and one method that sends and looks at the status."""

import os
import re

import requests


class ChatClient:
    def __init__(self, api_key=None, base_url=None, model=None, timeout=(3.05, 30)):
        self._key = (api_key or os.environ.get("OPENAI_API_KEY") or "").strip()
        if not self._key:
            raise ValueError("set OPENAI_API_KEY")
        if not re.fullmatch("[!-~]+", self._key):
            raise ValueError("this cannot be a key")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not base_url:
            raise ValueError("set OPENAI_BASE_URL")
        self.base_url = base_url.rstrip("/")
        self.model = model or os.environ.get("OPENAI_MODEL")
        self.timeout = timeout
        self.history = []
        self._session = requests.Session()
        self._session.auth = self._sign

    def _sign(self, request):
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._session.close()

    def _send(self, method, path, body=None):
        response = self._session.request(
            method,
            self.base_url + path,
            json=body,
            timeout=self.timeout,
            allow_redirects=False,
        )
        response.raise_for_status()
        if response.status_code >= 300:
            raise requests.HTTPError("a redirect", response=response)
        return response.json()

    def chat(self, messages, **options):
        return self._send(
            "POST",
            "/chat/completions",
            {"model": self.model, "messages": messages, **options},
        )

    def models(self):
        reply = self._send("GET", "/models")
        if "data" not in reply:
            raise ValueError(f"no models: {reply}")
        return [model["id"] for model in reply["data"]]

    def ask(self, prompt, system=None):
        first = [{"role": "system", "content": system}] if system else []
        question = {"role": "user", "content": prompt}
        reply = self.chat([*first, *self.history, question])
        if not reply.get("choices"):
            raise ValueError(f"no answer: {reply}")
        choice = reply["choices"][0]
        if "error" in reply or "error" in choice:
            raise ValueError(f"an error: {reply}")
        text = choice["message"]["content"]
        if choice.get("finish_reason") in ("length", "content_filter", "error"):
            raise ValueError(f"half an answer: {text}")
        if isinstance(text, list):
            text = "".join(part["text"] for part in text if part["type"] == "text")
        text = text or ""
        self.history += [question, {"role": "assistant", "content": text}]
        return text
