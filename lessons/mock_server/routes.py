"""Which address is answered by which function, in which dialect."""

import re
from collections.abc import Callable
from functools import lru_cache, partial

from . import (
    agents,
    anthropic_messages,
    echo,
    embeddings,
    github,
    openai_chat,
    openai_responses,
)
from .call import Call
from .dialect import Dialect
from .reply import Reply

DIALECTS = (
    anthropic_messages.DIALECT,
    openai_responses.DIALECT,
    openai_chat.DIALECT,
    embeddings.DIALECT,
    github.DIALECT,
    agents.DIALECT,
    echo.DIALECT,
)
# Where nobody answers, the first dialect whose prefix fits refuses; "" fits always.
_PREFIXES = [(one.prefix, one) for one in DIALECTS if one.prefix is not None]

Answer = Callable[[Call], Reply]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(path.replace("{number}", "([0-9]{1,9})").replace("{}", "([^/]+)"))


_EXACT = {
    (method, path): (dialect, answer)
    for dialect in DIALECTS
    for method, path, answer in dialect.routes
    if "{" not in path
}
_PATTERNS = [
    (method, _pattern(path), dialect, answer)
    for dialect in DIALECTS
    for method, path, answer in dialect.routes
    if "{" in path
]


@lru_cache(maxsize=1024)  # it is asked three times for each request
def find(method: str, path: str) -> tuple[Dialect, Answer]:
    """Return the dialect of an address and the function that answers a call to it: at
    worst with a 404 or 405.
    """
    method = "GET" if method == "HEAD" else method
    if (method, path) in _EXACT:
        return _EXACT[method, path]
    allowed = {its_method for its_method, its_path in _EXACT if its_path == path}
    for its_method, pattern, dialect, answer in _PATTERNS:
        if found := pattern.fullmatch(path):
            if its_method == method:
                return dialect, partial(_answer, answer, found.groups())
            allowed.add(its_method)
    dialect = next(one for prefix, one in _PREFIXES if path.startswith(prefix))
    return dialect, partial(_refuse, dialect, sorted(allowed))


def _answer(answer: Callable[..., Reply], parts: tuple[str, ...], call: Call) -> Reply:
    return answer(call, *parts)


def _meant(call: Call) -> str | None:
    """Return the address that was probably meant, if there is one: with /v1, without
    it twice, without a slash too many.
    """
    path = re.sub("/+", "/", call.path).rstrip("/")
    others = (path, f"/v1{path}", re.sub("^(/v1)+", "/v1", path))
    return next((other for other in others if _is_answered(call.method, other)), None)


def _is_answered(method: str, path: str) -> bool:
    is_pattern = (one[0] == method and one[1].fullmatch(path) for one in _PATTERNS)
    return (method, path) in _EXACT or any(is_pattern)


def _refuse(dialect: Dialect, allowed: list[str], call: Call) -> Reply:
    if not allowed:
        message = f"There is nothing at {call.path}"
        if meant := _meant(call):
            message += f"; did you mean {meant}? Look at the client's base_url"
        return dialect.fail(404, message, **dialect.about(call))
    methods = ", ".join(allowed)
    message = f"{call.path} takes {methods}"
    reply = dialect.fail(405, message, **dialect.about(call))
    reply.headers["Allow"] = methods
    return reply
