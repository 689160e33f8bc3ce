"""Exercise 04: many calls under way at once, never too many, and no answer lost."""

from collections.abc import Callable, Iterable


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
    # TODO
    raise NotImplementedError("04_async_batching: write ask_all")
