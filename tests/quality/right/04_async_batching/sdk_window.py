"""The official package, and a window of tasks that asyncio.wait keeps full."""

import asyncio
import os

import openai


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
        raise ValueError("max_concurrency")
    api_key = api_key or os.environ.get("OPENAI_API_KEY")
    base_url = base_url or os.environ.get("OPENAI_BASE_URL")
    model = model or os.environ.get("OPENAI_MODEL")
    if not all([api_key, base_url, model]):
        raise ValueError("a key, an address and a model are needed")
    if not api_key.isascii() or len(api_key.split()) != 1:
        raise ValueError("the key has letters that no key has")
    if type(prompts) is str:
        raise TypeError("a list of prompts, please")
    sdk = openai.AsyncOpenAI(
        api_key=api_key.strip(),
        base_url=base_url,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
    )

    async def ask(prompt):
        reply = await sdk.chat.completions.create(
            model=model, messages=[{"role": "user", "content": prompt}]
        )
        choice = reply.choices[0].model_dump()
        if "error" in {*choice, *reply.model_dump()}:
            raise RuntimeError(f"an error: {reply}")
        if choice.get("finish_reason") in ("length", "content_filter", "error"):
            raise RuntimeError("cut off")
        content = choice["message"]["content"]
        if isinstance(content, list):
            content = "".join(one["text"] for one in content if one["type"] == "text")
        if content is None:
            raise RuntimeError("no text")
        return content

    results, pending = {}, {}
    try:
        for number, prompt in enumerate(prompts):
            if len(pending) == max_concurrency:
                await collect(pending, results, on_done)
            pending[asyncio.create_task(ask(prompt))] = number
        while pending:
            await collect(pending, results, on_done)
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await sdk.close()
    return [results[number] for number in range(len(results))]


async def collect(pending, results, on_done):
    done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        error = task.exception()
        # The package's own errors have the server's words in it, and so maybe the key.
        result = RuntimeError(type(error).__name__) if error else task.result()
        results[pending.pop(task)] = result
        if on_done:
            on_done()
