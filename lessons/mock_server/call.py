"""One request as the dialects see it, and what all requests to one server share."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from .idempotency import Answers
from .limiter import Limiter
from .reply import digest


def _finite(text: str) -> float:
    """Return a number; ValueError for NaN, Infinity and what is too large."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not JSON")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def read_json(body: bytes) -> Any:
    """Return a body as JSON; None if it is not JSON (RFC 8259)."""
    if not body:
        return None
    try:
        # As json.loads does, which would make a decoder for each call.
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError):
        return None


MOST_ATTEMPTS = 100_000


@dataclass
class State:
    """What all requests to one server share.

    latency: seconds before each reply.
    token_delay: seconds that the mock model takes for each token.
    models: lists the names of the models that exist; "*" among them is any name.
    attempts: how often each request was sent, by its identity.
    agents: the agents that were created, by id.
    answers: those to requests that brought an Idempotency-Key.
    """

    api_key: str
    latency: float
    token_delay: float
    limiter: Limiter
    models: Callable[[], list[str]]
    attempts: Counter[str] = field(default_factory=Counter)
    agents: dict[int, dict[str, Any]] = field(default_factory=dict)
    agents_made: int = 0
    answers: Answers = field(default_factory=Answers)

    def has_model(self, name: str) -> bool:
        """Say whether there is a model of this name."""
        names = self.models()
        return name in names or "*" in names

    def count_attempt(self, identity: str) -> int:
        """Return how often this request has come by now.

        Of more than 100,000 different requests, the oldest are forgotten.
        """
        if identity not in self.attempts and len(self.attempts) >= MOST_ATTEMPTS:
            del self.attempts[next(iter(self.attempts))]
        self.attempts[identity] += 1
        return self.attempts[identity]

    def clear(self) -> None:
        """Forget what came of the requests so far."""
        self.limiter.clear()
        self.attempts.clear()
        self.agents.clear()
        self.agents_made = 0
        self.answers.clear()


class Call(NamedTuple):
    """One request.

    key: the API key it brought, "" if none.
    json: the body as JSON, which nobody may change; None if it is not JSON.
    identity: a short name of its method, address, key and body; attempt counts the
        requests with that name.
    text: an answer prescribed by a rule, or None.
    """

    state: State
    method: str
    path: str
    query: str
    headers: Any
    key: str
    body: bytes
    json: Any
    identity: str
    attempt: int
    host: str
    text: str | None = None

    @property
    def request_id(self) -> str:
        """The name of this request, in a header of its reply."""
        return "req_" + digest(self.identity, self.attempt)

    @property
    def args(self) -> dict[str, str]:
        """The query parameters; of a repeated one the last value."""
        return dict(parse_qsl(self.query, keep_blank_values=True))
