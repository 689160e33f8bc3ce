"""Solution 04: many calls under way at once, never more than a limit, no answer lost.

Each of a fixed number of workers takes the next prompt when it is done with the last.
So there are as many tasks as calls under way, and a prompt is read when its turn comes.

The client is aiohttp, because the limit may be high: httpx 0.28 looks at all of its
connections for every request that waits (httpcore, _sync/connection_pool.py), and with
a hundred at once this takes longer than the calls. A call may take 300 s, the default
of aiohttp. Proxies that the environment names are not used; trust_env=True would use
them, but also look into ~/.netrc for every request.
"""

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import aiohttp

# What ends an answer before its end. Servers have many other words for a good end.
INCOMPLETE = ("length", "content_filter", "error")


class CallError(Exception):
    """The API refused a call, sent a reply without a whole answer, or none at all.

    status: the status code of the reply; None if there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


async def ask_all(
    prompts: Iterable[str],
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    max_concurrency: int = 10,
    on_done: Callable[[], object] | None = None,
) -> list[str | Exception]:
    """Return the model's answer to each prompt, in the order of the prompts.

    A call that fails leaves its exception in the place of its answer; the others go on.
    It fails if the connection does, with a status from 400 on, without an answer in the
    reply, or with half of one, whose finish_reason is "length".

    prompts: any iterable, even of 10,000 texts: they never become as many tasks. If it
        raises an error itself, so does this.
    base_url, api_key, model: OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL of the
        environment unless given; ValueError if one of them is missing.
    max_concurrency: the number of calls under way at once, as long as there is so much
        to do; ValueError below 1. They share a client, and so its connections.
    on_done: called without arguments after each call, whether it failed or not.

    If the task that awaits this is cancelled, no call stays under way.
    """
    if isinstance(prompts, str):
        raise TypeError("prompts must be several texts, and this is a single one")
    if max_concurrency < 1:
        raise ValueError(f"max_concurrency must be 1 or more, not {max_concurrency!r}")
    url = f"{(base_url or _setting('OPENAI_BASE_URL')).rstrip('/')}/chat/completions"
    api_key = api_key or _setting("OPENAI_API_KEY")
    model = model or _setting("OPENAI_MODEL")
    results: dict[int, str | Exception] = {}
    turns = enumerate(prompts)

    async def work(first: tuple[int, str]) -> None:
        """Ask the first prompt, and then what is left of all of them."""
        for index, prompt in itertools.chain([first], turns):
            try:
                results[index] = await _ask(session, url, model, prompt)
            except Exception as error:
                results[index] = error
            if on_done:
                on_done()

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_concurrency),
        headers={"Authorization": f"Bearer {api_key.strip()}"},
    ) as session:
        try:
            async with asyncio.TaskGroup() as workers:
                for first in itertools.islice(turns, max_concurrency):
                    workers.create_task(work(first))
        except ExceptionGroup as errors:  # no call's, but from prompts or on_done
            raise errors.exceptions[0] from None
    return [result for _, result in sorted(results.items())]


def _setting(name: str) -> str:
    """Return a variable of the environment; ValueError if there is none."""
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"set {name} in the environment, or pass it")
    return value


async def _ask(
    session: aiohttp.ClientSession, url: str, model: str, prompt: str
) -> str:
    """Return the answer to one prompt. Raises CallError or TimeoutError."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    try:
        # A redirect would take the key to another address.
        async with session.post(url, json=body, allow_redirects=False) as response:
            status, content = response.status, await response.read()
            place = response.headers.get("Location", "")
    except aiohttp.ClientError as error:
        problem = f"{type(error).__name__}: {error}"
    else:
        if 200 <= status <= 299 and (answer := _answer_in(content)) is not None:
            return answer
        where = f" redirected to {urlsplit(place).netloc}:" if place else ""
        raise CallError(f"{status}:{where} no answer in {content[:200]!r}", status)
    # Not inside `except`, and so not linked to aiohttp's own error: that has the
    # request's headers, and so the key, in its repr.
    raise CallError(problem)


def _answer_in(content: bytes) -> str | None:
    """Return the text of the first choice; None if there is none, or half of one."""
    try:
        reply = json.loads(content)
        choice = reply["choices"][0]
        text, end = choice["message"]["content"], choice.get("finish_reason")
        if isinstance(text, list):  # some servers send it in parts
            text = "".join(part.get("text") or "" for part in text)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    is_bad = end in INCOMPLETE or choice.get("error") or reply.get("error")
    return None if is_bad or not isinstance(text, str) else text
