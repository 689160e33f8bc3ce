"""Exercise 09: a batch over two APIs that loses nothing, whenever it is killed.

You may use what lessons 03 to 08 built, as send() does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from robust_client.errors import checked_body, error_from_exception
from robust_client.replies import FAILURES

MAX_TOKENS = 100  # of an answer: the max_tokens of every request
PATIENCE = 3  # further: failures in a row after which a provider is passed over
PAUSE = 0.5  # further: seconds for which it is passed over


@dataclass(frozen=True)
class Provider:
    """An API that is compatible with OpenAI's, and its price.

    price: micro-dollars for 1,000 tokens; None if it is not known.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str
    price: int | None = None

    def cost(self, tokens: int) -> int:
        """Return what this number of tokens costs, in micro-dollars, rounded up."""
        return -(-tokens * self.price // 1000)

    def most(self, prompt: str) -> int:
        """Return the most that a call can cost: a token has at least one byte."""
        return self.cost(len(prompt.encode()) + MAX_TOKENS)


class BudgetError(Exception):
    """There is less money left than a call can cost."""


async def send(
    http: httpx.AsyncClient, provider: Provider, key: str, prompt: str
) -> dict[str, Any]:
    """Send a request, and return the reply. Raises an APIError of lesson 05.

    key: the Idempotency-Key. A server that gets it twice carries it out, and charges
        for it, only once.
    """
    url = f"{provider.base_url.rstrip('/')}/chat/completions"
    headers = {"Authorization": f"Bearer {provider.api_key}", "Idempotency-Key": key}
    body = {
        "model": provider.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": MAX_TOKENS,
    }
    try:
        response = await http.post(url, headers=headers, json=body)
    except FAILURES as cause:
        raise error_from_exception(cause) from cause
    return checked_body(response)


async def run_batch(
    jobs: Mapping[str, str],
    store: str,
    *,
    providers: Sequence[Provider],
    budget: int,
    max_concurrency: int,
    rate: int,
) -> dict[str, str | Exception]:
    """Return the model's answer to each job, or the exception it failed with, by id.
    A null in place of the answer is a failure, or the answer "".

    jobs: the prompts, by id.
    store: the path of a file; make it if it is missing, and save each answer in it as
        soon as it comes. The next start with the same file never asks again for a saved
        answer, even if this start was killed; failed jobs are tried again.
    providers: two. A job goes to the first. After a failure:
        - 429 with a Retry-After: wait that long, then ask the same provider again, up
          to 3 times.
        - 5xx, or no reply: ask the second provider, if it was not asked yet.
        - anything else, such as a wrong key: the job has failed.
    budget: micro-dollars for all starts with this store together. Send a request only
        if enough is left for the most that it can cost, and for the most that the
        requests under way can cost; otherwise the job fails with BudgetError. An answer
        costs its usage.total_tokens.
    max_concurrency: the number of jobs under way at once.
    rate: the most requests that start in any second, to both providers together.

    A job has the same Idempotency-Key in every start, and no other job has it, not even
    one of the same id in another store.

    ValueError, before anything is sent, if a price is not known, or if max_concurrency
    or rate is below 1.

    Further: after PATIENCE failures in a row that lead to the second provider, the
    first one is passed over for PAUSE seconds. Then a single job tries it: if that
    fails in the same way, it is passed over again; after an answer, all jobs use it.
    """
    # TODO
    raise NotImplementedError("09_many_apis: write run_batch")
