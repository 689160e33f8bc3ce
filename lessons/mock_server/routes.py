"""Which address is answered by which function, and with which service's headers and errors."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import openai_api, rest_api
from .call import Call
from .reply import Reply, json_reply, plain_error


@dataclass(frozen=True)
class Service:
    """A service that some endpoints imitate: the shape of its errors, and whether a key is always needed."""

    name: str
    error: Callable[..., dict]
    needs_key: bool = False


OPENAI = Service("openai", openai_api.error_body, needs_key=True)
GITHUB = Service("github", rest_api.github_error)
PLAIN = Service("plain", plain_error)

_TABLE: list[tuple[str, str, Service, Callable[..., Reply]]] = [
    ("GET", "/v1/models", OPENAI, openai_api.list_models),
    ("GET", "/v1/models/{}", OPENAI, openai_api.get_model),
    ("POST", "/v1/chat/completions", OPENAI, openai_api.chat),
    ("GET", "/users/{}", GITHUB, rest_api.get_user),
    ("GET", "/search/repositories", GITHUB, rest_api.search),
    ("GET", "/data", PLAIN, rest_api.get_data),
    ("POST", "/agents", PLAIN, rest_api.create_agent),
    ("GET", "/agents", PLAIN, rest_api.list_agents),
    ("GET", "/agents/{number}", PLAIN, rest_api.get_agent),
    ("PUT", "/agents/{number}", PLAIN, rest_api.change_agent),
    ("PATCH", "/agents/{number}", PLAIN, rest_api.change_agent),
    ("DELETE", "/agents/{number}", PLAIN, rest_api.delete_agent),
    ("GET", "/get", PLAIN, rest_api.echo_get),
    ("POST", "/post", PLAIN, rest_api.echo_body),
    ("PUT", "/put", PLAIN, rest_api.echo_body),
    ("PATCH", "/patch", PLAIN, rest_api.echo_body),
    ("DELETE", "/delete", PLAIN, rest_api.echo_body),
    ("GET", "/headers", PLAIN, rest_api.echo_headers),
    ("GET", "/redirect/{number}", PLAIN, rest_api.redirect),
    ("GET", "/basic-auth/{}/{}", PLAIN, rest_api.basic_auth),
    ("GET", "/bearer", PLAIN, rest_api.bearer),
    ("GET", "/bytes/{number}", PLAIN, rest_api.some_bytes),
    ("GET", "/drip", PLAIN, rest_api.drip),
    ("GET", "/stream/{number}", PLAIN, rest_api.json_lines),
    ("GET", "/gzip", PLAIN, rest_api.gzipped),
    ("GET", "/encoding/utf8", PLAIN, lambda call: rest_api.page(rest_api.UTF8_PAGE)),
    ("GET", "/html", PLAIN, lambda call: rest_api.page(rest_api.HTML_PAGE)),
]
for _method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    _TABLE += [
        (_method, "/anything", PLAIN, rest_api.echo_anything),
        (_method, "/status/{number}", PLAIN, rest_api.give_status),
        (_method, "/delay/{}", PLAIN, rest_api.wait_first),
        (_method, "/redirect-to", PLAIN, rest_api.redirect_to),
    ]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(path.replace("{number}", "([0-9]{1,9})").replace("{}", "([^/]+)"))


_EXACT = {(method, path): (service, answer) for method, path, service, answer in _TABLE if "{" not in path}
_PATTERNS = [(method, _pattern(path), service, answer) for method, path, service, answer in _TABLE if "{" in path]


def find(method: str, path: str) -> tuple[Service, Callable[[Call], Reply]]:
    """Return the service of an address and the function that answers a call to it: at worst with a 404 or 405."""
    method = "GET" if method == "HEAD" else method
    if (method, path) in _EXACT:
        return _EXACT[method, path]
    for its_method, pattern, service, answer in _PATTERNS:
        if its_method == method and (found := pattern.fullmatch(path)):
            return service, lambda call: answer(call, *found.groups())
    allowed = {its_method for its_method, its_path in _EXACT if its_path == path}
    allowed |= {its_method for its_method, pattern, _, _ in _PATTERNS if pattern.fullmatch(path)}
    service = OPENAI if path.startswith("/v1/") else PLAIN
    if allowed:
        return service, partial(_refuse, service, 405, f"{path} takes {', '.join(sorted(allowed))}", allowed)
    return service, partial(_refuse, service, 404, f"There is nothing at {path}", set())


def _refuse(service: Service, status: int, message: str, allowed: set[str], call: Call) -> Reply:
    reply = json_reply(service.error(status, message), status)
    if allowed:
        reply.headers["Allow"] = ", ".join(sorted(allowed))
    return reply
