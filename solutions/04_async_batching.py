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
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp

# What ends an answer before its end. Servers have many other words for a good end.
INCOMPLETE = ("length", "content_filter", "insufficient_system_resource", "error")


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
    It fails if the connection does, with a status from 400 on, without a text in the
    reply (null is none), with an "error" in the reply or in its choice, or with half an
    answer, whose finish_reason is "length", "content_filter" or "error". Others, such
    as "eos_token", are good ends, and so is none at all.

    prompts: any iterable, even of 10,000 texts: they never become as many tasks. If it
        raises an error itself, so does this, alone or in an ExceptionGroup.
    base_url, api_key, model: OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL of the
        environment unless given; ValueError if one of them is missing or empty. The
        address may end in a slash.
    max_concurrency: the number of calls under way at once, as long as there is so much
        to do; ValueError below 1. They share a client, and so its connections.
    on_done: called without arguments as soon as a call has ended, well or not.

    If the task that awaits this is cancelled, it ends as cancelled, and no call stays
    under way.

    Further, if you like:
    - max_concurrency may be 150: no pool of your library has a lower limit.
    - A prompt is read when its turn comes, so a long file is never read whole.
    - An error in on_done gets out, no call stays under way, and no other begins.
    - A content that is a list, such as [{"type": "text", "text": "Hello"}], becomes the
      text of its parts of type text.
    - A redirect is not followed: it is a failure.
    - A key with a space, a line end or a letter like é in it is a ValueError, and a
      single text in the place of prompts a TypeError. No exception shows the key, even
      if a reply repeats it.
    """
    if isinstance(prompts, str):
        raise TypeError("prompts must be several texts, and this is a single one")
    if max_concurrency < 1:
        raise ValueError(f"max_concurrency must be 1 or more, not {max_concurrency!r}")
    address = _setting("OPENAI_BASE_URL", base_url).rstrip("/")
    url = f"{address}/chat/completions"
    api_key = _setting("OPENAI_API_KEY", api_key)
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ValueError("the API key has a character that no key has")
    model = _setting("OPENAI_MODEL", model)
    results: dict[int, str | Exception] = {}
    turns = enumerate(prompts)

    async def work(first: tuple[int, str]) -> None:
        """Ask the first prompt, and then what is left of all of them."""
        for index, prompt in itertools.chain([first], turns):
            try:
                results[index] = await _ask(session, url, api_key, model, prompt)
            except Exception as error:
                results[index] = error
            if on_done:
                on_done()

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_concurrency),
        headers={"Authorization": f"Bearer {api_key}"},
    ) as session:
        try:
            async with asyncio.TaskGroup() as workers:
                for first in itertools.islice(turns, max_concurrency):
                    workers.create_task(work(first))
        except ExceptionGroup as errors:  # no call's, but from prompts or on_done
            raise errors.exceptions[0] from None
    return [result for _, result in sorted(results.items())]


def _setting(name: str, given: str | None) -> str:
    """Return what is given, or the variable; ValueError if there is neither."""
    value = (given or os.environ.get(name) or "").strip()
    if not value:
        raise ValueError(f"set {name} in the environment, or pass it")
    return value


async def _ask(
    session: aiohttp.ClientSession, url: str, api_key: str, model: str, prompt: str
) -> str:
    """Return the answer to one prompt. Raises CallError or TimeoutError."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    try:
        # A redirect would take the key to another address.
        async with session.post(url, json=body, allow_redirects=False) as response:
            status, content = response.status, await response.read()
    except aiohttp.ClientError as error:
        status, problem = None, f"{type(error).__name__}: {error}"
    else:
        reply = _read(content)
        if status // 100 == 2 and (answer := _answer_in(reply)) is not None:
            return answer
        where = _redirect_in(response.headers)
        problem = f"{status}:{where} no answer in {reply}"
    # Not inside `except`, and so not linked to aiohttp's own error: that has the
    # request's headers, and so the key, in its repr. A reply can repeat the key, too.
    raise CallError(problem.replace(api_key, "…")[:500], status)


def _redirect_in(headers: Mapping[str, str]) -> str:
    """Return the words for a redirect, which name its host; "" if there is none."""
    with suppress(KeyError, ValueError):  # no Location, or what is no address
        return f" redirected to {urlsplit(headers['Location']).hostname or 'itself'}:"
    return ""


def _read(content: bytes) -> Any:
    """Return the JSON of a reply, or the bytes if they are none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content


def _answer_in(reply: Any) -> str | None:
    """Return the text of the first choice; None if there is none, or half of one."""
    try:
        choice = reply["choices"][0]
        text, end = choice["message"]["content"], choice.get("finish_reason")
        if isinstance(text, list):  # some servers send it in parts
            parts = [part for part in text if part.get("type", "text") == "text"]
            text = "".join(part["text"] for part in parts)
        is_bad = end in INCOMPLETE or choice.get("error") or reply.get("error")
    except (LookupError, TypeError, AttributeError):
        return None
    return None if is_bad or not isinstance(text, str) else text
