"""Exercise 04: many calls under way at once, never too many, and no answer lost.

You may copy from the notebooks: the workers, the order and the cancelling from this
lesson's; the environment and the reading of a reply from that of lesson 03 (Account,
read_json, find_text). An import of robust_client gives no points.
"""

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
    # TODO
    # Further, if you like: the list at the end of the docstring.
    raise NotImplementedError("04_async_batching: write ask_all")
