"""urllib3 alone: a pool, and errors of its own."""

import os

import urllib3


class ChatClient:
    def __init__(self, api_key=None, base_url=None, model=None, timeout=(3.05, 30)):
        key = api_key or os.environ.get("OPENAI_API_KEY")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not key or not base_url:
            raise ValueError("OPENAI_API_KEY or OPENAI_BASE_URL is not set")
        key = key.strip()
        if not key.isascii() or key.split() != [key]:
            raise ValueError("OPENAI_API_KEY is not one word of ASCII")
        self.base_url = base_url.rstrip("/")
        self.model = model or os.environ.get("OPENAI_MODEL")
        self.history = []
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        self._pool = urllib3.PoolManager(
            headers={"Authorization": f"Bearer {key}"},
            timeout=urllib3.Timeout(connect=connect, read=read),
            retries=False,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._pool.clear()

    def _call(self, method, path, **more):
        response = self._pool.request(method, self.base_url + path, **more)
        if response.status // 100 != 2:
            raise RuntimeError(f"status {response.status}: {response.data[:80]}")
        return response.json()

    def chat(self, messages, **options):
        headers = {**self._pool.headers, "Content-Type": "application/json"}
        body = {"model": self.model, "messages": messages, **options}
        return self._call("POST", "/chat/completions", json=body, headers=headers)

    def models(self):
        data = self._call("GET", "/models").get("data")
        if data is None:
            raise ValueError("the server sent no models")
        return [model["id"] for model in data]

    def ask(self, prompt, system=None):
        messages = [*self.history, {"role": "user", "content": prompt}]
        if system:
            messages = [{"role": "system", "content": system}, *messages]
        reply = self.chat(messages)
        choices = reply.get("choices", [])
        if not choices or any("error" in one for one in (reply, choices[0])):
            raise ValueError("the server sent no answer")
        if choices[0].get("finish_reason", "stop") in (
            "length",
            "content_filter",
            "error",
        ):
            raise ValueError("max_tokens was too small")
        text = choices[0]["message"]["content"]
        if isinstance(text, list):
            text = "".join([part["text"] for part in text if part["type"] == "text"])
        if text is None:
            text = ""
        self.history += [messages[-1], {"role": "assistant", "content": text}]
        return text
