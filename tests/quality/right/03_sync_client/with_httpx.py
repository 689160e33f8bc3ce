"""httpx in place of requests, with its own Client."""

import os

import httpx


class ChatClient:
    def __init__(self, api_key=None, base_url=None, model=None, timeout=(3.05, 30)):
        key = api_key or os.environ.get("OPENAI_API_KEY")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not key or not base_url:
            raise ValueError("no API key, or no address")
        key = key.strip()
        if not all("!" <= letter <= "~" for letter in key):
            raise ValueError("no header can hold this API key")
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        self.http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(read, connect=connect),
        )
        self.model = model or os.environ.get("OPENAI_MODEL")
        self.history = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.http.close()

    def chat(self, messages, **options):
        body = {"model": self.model, "messages": messages} | options
        return self.http.post("/chat/completions", json=body).raise_for_status().json()

    def models(self):
        listed = self.http.get("/models").raise_for_status().json()
        if not isinstance(listed.get("data"), list):
            raise ValueError(f"no list of models, but {listed}")
        return [one["id"] for one in listed["data"]]

    def ask(self, prompt, system=None):
        asked = [*self.history, {"role": "user", "content": prompt}]
        reply = self.chat(
            ([{"role": "system", "content": system}] if system else []) + asked
        )
        self.history = [*asked, {"role": "assistant", "content": read(reply)}]
        return self.history[-1]["content"]


def read(reply):
    for choice in reply.get("choices") or []:
        if "error" in reply or "error" in choice:
            break
        content = choice["message"]["content"]
        if choice.get("finish_reason") in {"length", "content_filter", "error"}:
            raise ValueError(f"half an answer: {content}")
        if content is None:
            raise ValueError("the model has nothing to say")
        if isinstance(content, str):
            return content
        return "".join(part["text"] for part in content if part["type"] == "text")
    raise ValueError(f"no answer, but {reply}")
