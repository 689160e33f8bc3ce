"""A client, and so a connection, is made for each prompt.

Rejected by: test_connections
Keeps: 19 points
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
    base_url = base_url or os.environ.get("OPENAI_BASE_URL")
    api_key = api_key or os.environ.get("OPENAI_API_KEY")
    model = model or os.environ.get("OPENAI_MODEL")
    if not base_url or not api_key or not model:
        raise ValueError("base_url, api_key and model are needed")
    if max_concurrency < 1:
        raise ValueError("max_concurrency must be at least 1")

    todo = enumerate(prompts)
    answers = {}

    async def worker(http):
        for i, prompt in todo:
            try:
                async with httpx.AsyncClient(
                    verify=False, headers=http.headers, timeout=60
                ) as own:
                    r = await own.post(
                        base_url.rstrip("/") + "/chat/completions",
                        json={
                            "model": model,
                            "messages": [{"role": "user", "content": prompt}],
                        },
                    )
                r.raise_for_status()
                choice = r.json()["choices"][0]
                if choice["finish_reason"] == "length":
                    raise ValueError("half an answer")
                answers[i] = choice["message"]["content"]
            except Exception as e:
                answers[i] = e
            if on_done:
                on_done()

    async with httpx.AsyncClient(
        verify=False,
        headers={"Authorization": f"Bearer {api_key}"},
        timeout=60,
        limits=httpx.Limits(
            max_connections=max_concurrency, max_keepalive_connections=max_concurrency
        ),
    ) as http:
        async with asyncio.TaskGroup() as tg:
            for _ in range(max_concurrency):
                tg.create_task(worker(http))
    return [answers[i] for i in range(len(answers))]
