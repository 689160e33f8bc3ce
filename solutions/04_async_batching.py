"""Solution 04: many calls under way at once, never more than a limit, no answer lost.

Each of a fixed number of workers takes the next prompt when it is done with the last.
So there are as many tasks as calls under way, and a prompt is read when its turn comes.

The client is aiohttp, because the limit may be high: httpx 0.28 looks at all of its
connections for every request that waits (httpcore, _sync/connection_pool.py), and with
a hundred at once this takes longer than the calls.
"""

import asyncio
import itertools
import json
import os
import urllib.request
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import aiohttp

# Seconds: to connect, for the silence between two pieces of a reply, for a whole call.
TIMEOUT = aiohttp.ClientTimeout(sock_connect=5.0, sock_read=60.0, total=300.0)
# What ends an answer before its end.
INCOMPLETE = ("length", "content_filter")


class CallError(Exception):
    """The API refused a call, or sent a reply without a whole answer.

    status: the status code of the reply.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"{status}: {message}")
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

    prompts: any iterable, even of 10,000 texts: they never become as many tasks.
    base_url, api_key, model: OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL of the
        environment unless given; ValueError if one of them is missing.
    max_concurrency: the number of calls under way at once, as long as there is so much
        to do; ValueError below 1.
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
        timeout=TIMEOUT,
        proxy=_proxy_for(url),
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


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for an address, as requests does.

    The trust_env of aiohttp would also read ~/.netrc, and again for every request.
    """
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


async def _ask(
    session: aiohttp.ClientSession, url: str, model: str, prompt: str
) -> str:
    """Return the answer to one prompt. CallError, TimeoutError or an aiohttp error."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    async with session.post(url, json=body, allow_redirects=False) as response:
        content = await response.read()
    try:
        reply = json.loads(content)
        if not response.ok or reply.get("error"):
            raise CallError(reply["error"]["message"], response.status)
        choice = reply["choices"][0]
        text = choice["message"]["content"] or ""
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # ClientResponse.raise_for_status() would put the request's headers, and so the
        # key, into the repr of its error.
        message = f"no answer in this reply: {content[:80]!r}"
        raise CallError(message, response.status) from error
    if choice.get("finish_reason") in INCOMPLETE:
        message = f"the answer is not whole ({choice['finish_reason']}): {text!r}"
        raise CallError(message, response.status)
    return text
