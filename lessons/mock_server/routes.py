"""Which address is answered by which function, in which dialect."""

import re
from collections.abc import Callable
from functools import partial

from . import agents, echo, github, openai_chat
from .call import Call
from .dialect import Dialect
from .reply import Reply

DIALECTS = (openai_chat.DIALECT, github.DIALECT, agents.DIALECT, echo.DIALECT)
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


def _refuse(dialect: Dialect, allowed: list[str], call: Call) -> Reply:
    if not allowed:
        return dialect.fail(404, f"There is nothing at {call.path}")
    methods = ", ".join(allowed)
    reply = dialect.fail(405, f"{call.path} takes {methods}")
    reply.headers["Allow"] = methods
    return reply
