"""Which address is answered by which function, and with which service's headers and
errors.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import openai_api, rest_api
from .call import Call
from .reply import Reply, json_reply, plain_error


@dataclass(frozen=True)
class Service:
    """A service that some endpoints imitate.

    error: makes its error bodies from a status and a message.
    check: returns the reply to a call that brings no good key, or None.
    """

    error: Callable[..., dict]
    check: Callable[[Call], Reply | None] = lambda call: None


OPENAI = Service(openai_api.error_body, openai_api.check_key)
GITHUB = Service(rest_api.github_error)
HTTPBIN = Service(plain_error)
AGENTS = Service(plain_error, partial(rest_api.check_token, is_needed=False))
DATA = Service(plain_error, partial(rest_api.check_token, is_needed=True))

_TABLE: list[tuple[str, str, Service, Callable[..., Reply]]] = [
    ("GET", "/v1/models", OPENAI, openai_api.list_models),
    ("GET", "/v1/models/{}", OPENAI, openai_api.get_model),
    ("POST", "/v1/chat/completions", OPENAI, openai_api.chat),
    ("GET", "/users/{}", GITHUB, rest_api.get_user),
    ("GET", "/search/repositories", GITHUB, rest_api.search),
    ("GET", "/data", DATA, rest_api.get_data),
    ("POST", "/agents", AGENTS, rest_api.create_agent),
    ("GET", "/agents", AGENTS, rest_api.list_agents),
    ("GET", "/agents/{number}", AGENTS, rest_api.get_agent),
    ("PUT", "/agents/{number}", AGENTS, rest_api.change_agent),
    ("PATCH", "/agents/{number}", AGENTS, rest_api.change_agent),
    ("DELETE", "/agents/{number}", AGENTS, rest_api.delete_agent),
    ("GET", "/get", HTTPBIN, partial(rest_api.echo, rest_api.GET_NAMES)),
    ("GET", "/headers", HTTPBIN, partial(rest_api.echo, ("headers",))),
    ("GET", "/redirect/{number}", HTTPBIN, rest_api.redirect),
    ("GET", "/basic-auth/{}/{}", HTTPBIN, rest_api.basic_auth),
    ("GET", "/bearer", HTTPBIN, rest_api.bearer),
    ("GET", "/bytes/{number}", HTTPBIN, rest_api.some_bytes),
    ("GET", "/drip", HTTPBIN, rest_api.drip),
    ("GET", "/stream/{number}", HTTPBIN, rest_api.json_lines),
    ("GET", "/gzip", HTTPBIN, rest_api.gzipped),
    ("GET", "/encoding/utf8", HTTPBIN, partial(rest_api.page, rest_api.UTF8_PAGE)),
    ("GET", "/html", HTTPBIN, partial(rest_api.page, rest_api.HTML_PAGE)),
]
for _method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    if _method != "GET":
        _TABLE.append(
            (
                _method,
                f"/{_method.lower()}",
                HTTPBIN,
                partial(rest_api.echo, rest_api.POST_NAMES),
            )
        )
    _TABLE += [
        (_method, "/anything", HTTPBIN, partial(rest_api.echo, rest_api.ALL_NAMES)),
        (_method, "/status/{number}", HTTPBIN, rest_api.give_status),
        (_method, "/delay/{}", HTTPBIN, rest_api.wait_first),
        (_method, "/redirect-to", HTTPBIN, rest_api.redirect_to),
    ]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(path.replace("{number}", "([0-9]{1,9})").replace("{}", "([^/]+)"))


_EXACT = {
    (method, path): (service, answer)
    for method, path, service, answer in _TABLE
    if "{" not in path
}
_PATTERNS = [
    (method, _pattern(path), service, answer)
    for method, path, service, answer in _TABLE
    if "{" in path
]


def find(method: str, path: str) -> tuple[Service, Callable[[Call], Reply]]:
    """Return the service of an address and the function that answers a call to it: at
    worst with a 404 or 405.
    """
    method = "GET" if method == "HEAD" else method
    if (method, path) in _EXACT:
        return _EXACT[method, path]
    allowed = {its_method for its_method, its_path in _EXACT if its_path == path}
    for its_method, pattern, service, answer in _PATTERNS:
        if found := pattern.fullmatch(path):
            if its_method == method:
                return service, partial(_answer, answer, found.groups())
            allowed.add(its_method)
    service = OPENAI if path.startswith("/v1/") else HTTPBIN
    return service, partial(_refuse, service, path, sorted(allowed))


def _answer(answer: Callable[..., Reply], parts: tuple[str, ...], call: Call) -> Reply:
    return answer(call, *parts)


def _refuse(service: Service, path: str, allowed: list[str], call: Call) -> Reply:
    if not allowed:
        return json_reply(service.error(404, f"There is nothing at {path}"), 404)
    methods = ", ".join(allowed)
    return json_reply(service.error(405, f"{path} takes {methods}"), 405, Allow=methods)
