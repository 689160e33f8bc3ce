"""One request as the endpoints see it, and what they share."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from .limiter import Limiter


@dataclass
class State:
    """What all requests to one server share.

    token_delay: seconds that the mock model takes for each token.
    agents: the agents that were created, by id.
    models: lists the names of the models that exist.
    """

    api_key: str
    token_delay: float
    limiter: Limiter
    models: Callable[[], list[str]]
    agents: dict[int, dict[str, Any]] = field(default_factory=dict)
    agents_made: int = 0


@dataclass
class Call:
    """One request.

    key: the API key it brought, "" if none.
    identity: a short name of its method, address, key and body; attempt counts the
        requests with that name.
    text: an answer prescribed by a rule, or None.
    limited: the endpoint sets it to the seconds to wait if the rate limit refused the
        request.
    """

    state: State
    method: str
    path: str
    query: str
    headers: Any
    key: str
    body: bytes
    identity: str
    attempt: int
    host: str
    text: str | None = None
    limited: float | None = None
    _json: list[Any] = field(default_factory=list)

    def json(self) -> Any:
        """Return the body as JSON; None if it is none.

        Whoever gets it must leave it as it is.
        """
        if not self._json:
            try:
                self._json.append(json.loads(self.body))
            except (ValueError, RecursionError):
                self._json.append(None)
        return self._json[0]

    @property
    def model(self) -> Any:
        """The model that the body names, if it names one."""
        body = self.json()
        return body.get("model") if isinstance(body, dict) else None

    @property
    def args(self) -> dict[str, str]:
        """The query parameters; of a repeated one the last value."""
        return dict(parse_qsl(self.query, keep_blank_values=True))
