"""aiohttp, and a queue of bounded size between one producer and the workers."""

import asyncio
import os

import aiohttp


async def ask_all(
    prompts,
    *,
    base_url=None,
    api_key=None,
    model=None,
    max_concurrency=10,
    on_done=None,
):
    key = api_key or os.environ.get("OPENAI_API_KEY")
    url = base_url or os.environ.get("OPENAI_BASE_URL")
    model = model or os.environ.get("OPENAI_MODEL")
    if not key or not url or not model or max_concurrency < 1:
        raise ValueError(
            "an address, a key and a model are needed, and a limit of 1 or more"
        )
    queue = asyncio.Queue(max_concurrency)
    results = []

    async def produce():
        for prompt in prompts:
            results.append(None)
            await queue.put((len(results) - 1, prompt))
        for _ in range(max_concurrency):
            await queue.put(None)

    async def consume(session):
        while job := await queue.get():
            number, prompt = job
            body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
            try:
                async with session.post(
                    url + "/chat/completions", json=body
                ) as response:
                    response.raise_for_status()
                    choice = (await response.json())["choices"][0]
                    if choice["finish_reason"] != "stop":
                        raise ValueError(choice["finish_reason"])
                    results[number] = choice["message"]["content"]
            except Exception as error:
                results[number] = error
            finally:
                on_done and on_done()

    session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"})
    async with session, asyncio.TaskGroup() as group:
        group.create_task(produce())
        for _ in range(max_concurrency):
            group.create_task(consume(session))
    return results
