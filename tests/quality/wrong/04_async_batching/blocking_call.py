"""A blocking call inside async def: the loop stands still, and the calls run one by one.

Rejected by: test_as_many_as_allowed, test_event_loop_goes_on
Keeps: 15 points
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
    response = client.post("/chat/completions", json=body)
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

    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        async with asyncio.TaskGroup() as group:
            for _ in range(max_concurrency):
                group.create_task(work(client))
    return [results[number] for number in sorted(results)]
