"""The prompts go in batches of max_concurrency, and each batch waits for its slowest call.

Rejected by: test_slow_call_holds_nobody
Keeps: 19 points
"""

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
    choice = response.json()["choices"][0]
    if choice["finish_reason"] == "length":
        raise ValueError("the answer was cut off")
    return choice["message"]["content"]


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
    url = setting(base_url, "OPENAI_BASE_URL")
    headers = {"Authorization": "Bearer " + setting(api_key, "OPENAI_API_KEY")}
    model = setting(model, "OPENAI_MODEL")
    slots = asyncio.Semaphore(max_concurrency)
    prompts = list(prompts)
    results = []

    async def one(client, prompt):
        async with slots:
            try:
                return await ask(client, model, prompt)
            except Exception as error:
                return error
            finally:
                if on_done:
                    on_done()

    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        for start in range(0, len(prompts), max_concurrency):
            batch = prompts[start : start + max_concurrency]
            results += await asyncio.gather(*[one(client, prompt) for prompt in batch])
    return results
