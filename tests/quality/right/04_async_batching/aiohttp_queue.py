"""aiohttp, and a queue of bounded size between one producer and the workers."""

import asyncio
import json
import os
import re

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
    if not re.fullmatch("[!-~]+", key.strip()):
        raise ValueError("a key is one word of ASCII")
    if isinstance(prompts, str):
        raise TypeError("prompts")
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
                    url.rstrip("/") + "/chat/completions",
                    json=body,
                    allow_redirects=False,
                ) as response:
                    if response.status != 200:  # raise_for_status would show the key
                        raise OSError(f"status {response.status}")
                    results[number] = read(json.loads(await response.read()))
            except aiohttp.ClientError as error:
                results[number] = OSError(str(error))
            except Exception as error:
                results[number] = error
            finally:
                on_done and on_done()

    session = aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {key.strip()}"},
        connector=aiohttp.TCPConnector(limit=0),
    )
    async with session, asyncio.TaskGroup() as group:
        group.create_task(produce())
        for _ in range(max_concurrency):
            group.create_task(consume(session))
    return results


def read(reply):
    if reply.get("error"):
        raise ValueError("an error in the reply")  # its words may repeat the key
    match reply["choices"][0]:
        case {"error": _}:
            raise ValueError("an error in the choice")
        case {"finish_reason": "length" | "content_filter" | "error" as reason}:
            raise ValueError(reason)
        case {"message": {"content": str() as text}}:
            return text
        case {"message": {"content": list() as parts}}:
            return "".join(part["text"] for part in parts if part["type"] == "text")
    raise ValueError(f"no answer in {reply}")
