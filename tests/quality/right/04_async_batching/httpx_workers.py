"""Workers around one httpx client, in a TaskGroup."""

import asyncio
import os

import httpx


def setting(value, name):
    value = value or os.environ.get(name)
    if not value:
        raise ValueError(f"set {name}")
    return value


async def ask(client, model, prompt):
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    response = await client.post("/chat/completions", json=body)
    response.raise_for_status()
    reply = response.json()
    choice = reply["choices"][0]
    if "error" in reply or "error" in choice:
        raise ValueError("an error beside the answer")
    if choice.get("finish_reason") in ("length", "content_filter", "error"):
        raise ValueError("the answer was cut off")
    text = choice["message"]["content"]
    if isinstance(text, list):
        text = "".join(part["text"] for part in text if part["type"] == "text")
    if text is None:
        raise ValueError("the answer has no text")
    return text


async def ask_all(
    prompts,
    *,
    base_url=None,
    api_key=None,
    model=None,
    max_concurrency=10,
    on_done=None,
):
    if max_concurrency < 1:
        raise ValueError("max_concurrency must be 1 or more")
    if isinstance(prompts, str):
        raise TypeError("one text is not several")
    url = setting(base_url, "OPENAI_BASE_URL")
    key = setting(api_key, "OPENAI_API_KEY").strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise ValueError("this cannot be a key")
    headers = {"Authorization": "Bearer " + key}
    model = setting(model, "OPENAI_MODEL")
    limits = httpx.Limits(max_connections=max_concurrency)
    options = {"base_url": url, "headers": headers, "timeout": 30, "limits": limits}
    turns = enumerate(prompts)
    results = {}

    async def work(client):
        for number, prompt in turns:
            try:
                results[number] = await ask(client, model, prompt)
            except Exception as error:
                results[number] = error
            if on_done:
                on_done()

    async with (
        httpx.AsyncClient(**options) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(max_concurrency):
            group.create_task(work(client))
    return [results[number] for number in sorted(results)]
