"""A semaphore that is taken before a task is made, so there are never more tasks than
places.
"""

import asyncio
import os

import httpx


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
        raise ValueError(f"max_concurrency={max_concurrency}")
    base_url, model = (
        base_url or os.getenv("OPENAI_BASE_URL"),
        model or os.getenv("OPENAI_MODEL"),
    )
    api_key = api_key or os.getenv("OPENAI_API_KEY")
    if not (base_url and api_key and model):
        raise ValueError("OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL")
    api_key = api_key.strip()
    if any(not 32 < ord(letter) < 127 for letter in api_key):
        raise ValueError("OPENAI_API_KEY has an odd character")
    if isinstance(prompts, str | bytes):
        raise TypeError(f"several prompts, not {type(prompts).__name__}")
    slots, answers = asyncio.Semaphore(max_concurrency), []

    async def ask(number, prompt):
        try:
            body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
            response = await http.post(url, json=body)
            reply = response.raise_for_status().json()
            choice = reply["choices"][0]
            content = choice["message"]["content"] or []
            parts = [{"type": "text", "text": content}]
            if not isinstance(content, str):
                parts = [part for part in content if part["type"] == "text"]
            cut_off = choice.get("finish_reason") in (
                "length",
                "content_filter",
                "error",
            )
            answers[number] = (
                EOFError("half an answer, or none")
                if cut_off or not parts or "error" in {*reply, *choice}
                else "".join(part["text"] for part in parts)
            )
        except Exception as error:
            answers[number] = error
        finally:
            slots.release()
            if on_done is not None:
                on_done()

    url = f"{base_url.removesuffix('/')}/chat/completions"
    http = httpx.AsyncClient(
        headers={"Authorization": f"Bearer {api_key}"},
        timeout=60,
        limits=httpx.Limits(max_connections=None),
    )
    async with http, asyncio.TaskGroup() as group:
        for number, prompt in enumerate(prompts):
            await slots.acquire()
            answers.append(None)
            group.create_task(ask(number, prompt))
    return answers
