"""The official package does the work; its replies become dicts."""

import os

import openai


class ChatClient:
    def __init__(self, api_key=None, base_url=None, model=None, timeout=(3.05, 30)):
        api_key = (api_key or os.environ.get("OPENAI_API_KEY", "")).strip()
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not api_key or not base_url:
            raise ValueError("no API key, or no address")
        if any(ord(letter) not in range(33, 127) for letter in api_key):
            raise ValueError("the API key has a letter that no header can hold")
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        self._sdk = openai.OpenAI(
            api_key=api_key,
            base_url=base_url,
            timeout=openai.Timeout(read, connect=connect),
            max_retries=0,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )
        self.model = model or os.environ.get("OPENAI_MODEL")
        self.history = []

    def __repr__(self):
        return f"ChatClient(model={self.model!r})"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._sdk.close()

    def chat(self, messages, **options):
        return self._sdk.chat.completions.create(
            model=self.model, messages=messages, **options
        ).model_dump()

    def models(self):
        names = [model.id for model in self._sdk.models.list()]
        if not names:
            raise ValueError("there are no models")
        return names

    def ask(self, prompt, system=None):
        question = {"role": "user", "content": prompt}
        start = [{"role": "system", "content": system}] if system else []
        reply = self.chat(start + self.history + [question])
        choices = reply.get("choices")
        if not choices or reply.get("error") or choices[0].get("error"):
            raise ValueError("there is no answer")
        if choices[0].get("finish_reason") in ("length", "content_filter", "error"):
            raise ValueError("the answer was cut off")
        text = choices[0]["message"]["content"] or ""
        if isinstance(text, list):
            text = "".join(part["text"] for part in text if part["type"] == "text")
        answer = {"role": "assistant", "content": text}
        self.history = [*self.history, question, answer]
        return text
