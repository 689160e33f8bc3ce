"""GitHub's dialect: users, and a search with pages."""

import re
import time
from typing import Any
from urllib.parse import quote_plus

from .call import Call
from .dialect import Dialect
from .reply import Reply, digest, json_reply

USERS = {
    "python": {
        "id": 1525981,
        "name": "Python",
        "type": "Organization",
        "public_repos": 84,
    },
    "psf": {
        "id": 50630501,
        "name": "Python Software Foundation",
        "type": "Organization",
        "public_repos": 42,
    },
    "ada": {"id": 1815, "name": "Ada Lovelace", "type": "User", "public_repos": 3},
}
FOUND = 42  # how many repositories every search finds


def error_body(status: int, message: str, **more: Any) -> dict[str, Any]:
    """Return an error body as GitHub shapes it: it has no place for more."""
    return {"message": message, "documentation_url": "", "status": str(status)}


def error_headers(status: int) -> dict[str, str]:
    """Return the header that tells a refusal for too many requests from others."""
    return {"x-ratelimit-remaining": "0"} if status in (403, 429) else {}


def headers(call: Call, reply: Reply) -> dict[str, str]:
    """Return the rate limit of every reply: 60 requests an hour, in epoch seconds."""
    return {
        "x-ratelimit-limit": "60",
        "x-ratelimit-remaining": "59",
        "x-ratelimit-reset": str(int(time.time()) + 3600),
    }


def with_etag(call: Call, reply: Reply) -> Reply:
    """Add an ETag; answer 304 without a body if the client already has this version
    (RFC 9110, section 13.1.2).
    """
    reply.headers["ETag"] = f'"{digest(reply.body)}"'
    known = call.headers.get("If-None-Match", "")
    if known == "*" or reply.headers["ETag"] in known:
        reply.status = 304
    return reply


def get_user(call: Call, name: str) -> Reply:
    if name not in USERS:
        names = ", ".join(USERS)
        return DIALECT.fail(404, f"There is no user {name!r}; try one of {names}")
    return with_etag(call, json_reply({"login": name, **USERS[name]}))


def _count(text: str, otherwise: int) -> int:
    """Return the whole number of at least 1 that text says; otherwise the default."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) and int(text) else otherwise


def search(call: Call) -> Reply:
    """Search repositories: pages of per_page items (usually 30, at most 100) with a
    Link header (RFC 8288).
    """
    query = call.args.get("q", "")
    if not query.strip():
        message = "Validation failed: the parameter q is missing or empty"
        return DIALECT.fail(422, message)
    page = _count(call.args.get("page", ""), 1)
    per_page = min(_count(call.args.get("per_page", ""), 30), 100)
    start, last = (page - 1) * per_page, -(-FOUND // per_page)
    items = [
        {
            "id": number,
            "full_name": f"mock/{query}-{number:02}",
            "stargazers_count": (FOUND - number) * 10,
        }
        for number in range(start + 1, min(start + per_page, FOUND) + 1)
    ]
    found = {"total_count": FOUND, "incomplete_results": False, "items": items}
    reply = json_reply(found)
    pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    path = f"/search/repositories?q={quote_plus(query)}&per_page={per_page}"
    links = [
        f'<http://{call.host}{path}&page={number}>; rel="{name}"'
        for name, number in pages.items()
        if 1 <= number <= last and number != page
    ]
    if links:
        reply.headers["Link"] = ", ".join(links)
    return with_etag(call, reply)


DIALECT = Dialect(
    routes=(
        ("GET", "/users/{}", get_user),
        ("GET", "/search/repositories", search),
    ),
    error=error_body,
    error_headers=error_headers,
    headers=headers,
)
