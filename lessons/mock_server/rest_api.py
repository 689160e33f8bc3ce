"""The other endpoints: GitHub-like reading, agents to create and change, and httpbin's."""

import base64
import gzip
import random
import re
from typing import Any
from urllib.parse import parse_qs, quote_plus

from .call import Call
from .reply import Reply, digest, json_reply, to_json

# --- GitHub-like: users and search ----------------------------------------------------

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


def github_error(status: int, message: str, **more: Any) -> dict[str, Any]:
    """Return an error body as GitHub shapes it; fields meant for another service are
    left out.
    """
    return {"message": message, "documentation_url": "", "status": str(status)}


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
        return json_reply(
            github_error(
                404, f"There is no user {name!r}; try one of {', '.join(USERS)}"
            ),
            404,
        )
    return with_etag(call, json_reply({"login": name, **USERS[name]}))


def _count(text: str, otherwise: int) -> int:
    """Return the whole number of at least 1 that text says, or otherwise if it says
    none.
    """
    return int(text) if re.fullmatch("[0-9]{1,9}", text) and int(text) else otherwise


def search(call: Call) -> Reply:
    """Search repositories: pages of per_page items (usually 30, at most 100) with a
    Link header (RFC 8288).
    """
    args = call.args
    query = args.get("q", "")
    if not query.strip():
        return json_reply(
            github_error(422, "Validation failed: the parameter q is missing or empty"),
            422,
        )
    page, per_page = (
        _count(args.get("page", ""), 1),
        min(_count(args.get("per_page", ""), 30), 100),
    )
    start, last = (page - 1) * per_page, -(-FOUND // per_page)
    numbers = range(start + 1, min(start + per_page, FOUND) + 1)
    items = [
        {
            "id": number,
            "full_name": f"mock/{query}-{number:02}",
            "stargazers_count": (FOUND - number) * 10,
        }
        for number in numbers
    ]
    reply = json_reply(
        {"total_count": FOUND, "incomplete_results": False, "items": items}
    )
    pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    shown = {
        name: number
        for name, number in pages.items()
        if 1 <= number <= last and number != page
    }
    address = f"http://{call.host}/search/repositories?q={quote_plus(query)}&per_page={per_page}"
    if shown:
        reply.headers["Link"] = ", ".join(
            f'<{address}&page={number}>; rel="{name}"' for name, number in shown.items()
        )
    return with_etag(call, reply)


# --- agents, and data behind a token --------------------------------------------------

STATUSES = ("active", "paused", "retired")


def unauthorized(message: str) -> Reply:
    """Return a 401, which must say how to authenticate (RFC 9110, section 11.6.1)."""
    return json_reply({"message": message}, 401, WWW_Authenticate='Bearer realm="mock"')


def check_token(call: Call, is_needed: bool) -> Reply | None:
    """Return the 401 for a wrong token, and for a missing one if it is needed."""
    if not call.key:
        return (
            unauthorized("A bearer token is needed: Authorization: Bearer YOUR_KEY")
            if is_needed
            else None
        )
    return (
        None
        if call.key == call.state.api_key
        else unauthorized("This token is not valid")
    )


def get_data(call: Call) -> Reply:
    return json_reply(
        {"data": [{"id": 1, "value": "alpha"}, {"id": 2, "value": "beta"}]}
    )


def _agent_fields(
    call: Call, needed: tuple[str, ...]
) -> tuple[dict[str, Any], Reply | None]:
    """Return the fields of an agent that the request brings, or the reply that says
    what is wrong with them.
    """
    if (
        call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        != "application/json"
    ):
        return {}, json_reply(
            {"message": "Send JSON, with Content-Type: application/json"}, 415
        )
    body = call.json()
    if not isinstance(body, dict):
        return {}, json_reply({"message": "The body must be a JSON object"}, 400)
    errors = [
        {"field": name, "message": f"{name} is missing"}
        for name in needed
        if name not in body
    ]
    name, status = body.get("name", "x"), body.get("status", "active")
    if not isinstance(name, str) or not name.strip():
        errors.append(
            {"field": "name", "message": "name must be a text that is not empty"}
        )
    if status not in STATUSES:
        errors.append(
            {
                "field": "status",
                "message": f"status must be one of {', '.join(STATUSES)}",
            }
        )
    errors += [
        {"field": field, "message": f"there is no field {field!r}"}
        for field in body
        if field not in ("id", "name", "status")
    ]
    if errors:
        message = "; ".join(error["message"] for error in errors)
        return {}, json_reply({"message": message, "errors": errors}, 422)
    return {field: body[field] for field in ("name", "status") if field in body}, None


def _no_agent(number: str) -> Reply:
    return json_reply({"message": f"There is no agent {number}"}, 404)


def create_agent(call: Call) -> Reply:
    fields, bad = _agent_fields(call, needed=("name",))
    if bad:
        return bad
    call.state.agents_made += 1
    number = call.state.agents_made
    call.state.agents[number] = {
        "id": number,
        "name": fields["name"],
        "status": fields.get("status", "active"),
    }
    return json_reply(call.state.agents[number], 201, Location=f"/agents/{number}")


def list_agents(call: Call) -> Reply:
    return json_reply(list(call.state.agents.values()))


def get_agent(call: Call, number: str) -> Reply:
    agent = call.state.agents.get(int(number))
    return json_reply(agent) if agent else _no_agent(number)


def change_agent(call: Call, number: str) -> Reply:
    """PUT replaces the whole agent and needs every field; PATCH changes the fields that
    are sent.
    """
    fields, bad = _agent_fields(
        call, needed=("name", "status") if call.method == "PUT" else ()
    )
    if bad:
        return bad
    if int(number) not in call.state.agents:
        return _no_agent(number)
    call.state.agents[int(number)] |= fields
    return json_reply(call.state.agents[int(number)])


def delete_agent(call: Call, number: str) -> Reply:
    return Reply(204) if call.state.agents.pop(int(number), None) else _no_agent(number)


# --- httpbin's ------------------------------------------------------------------------

MOST_BYTES = 10 * 1024 * 1024


def _several(pairs: dict[str, list[str]]) -> dict[str, Any]:
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in pairs.items()
    }


GET_NAMES = ("args", "headers", "origin", "url")
POST_NAMES = ("args", "data", "files", "form", "headers", "json", "origin", "url")
ALL_NAMES = (
    "args",
    "data",
    "files",
    "form",
    "headers",
    "json",
    "method",
    "origin",
    "url",
)


def seen(call: Call, names: tuple[str, ...]) -> dict[str, Any]:
    """Return what httpbin tells of a request, under httpbin's names."""
    content_type = (
        call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    )
    text = call.body.decode("utf-8", "replace")
    is_form = content_type == "application/x-www-form-urlencoded"
    everything = {
        "args": _several(parse_qs(call.query, keep_blank_values=True)),
        "data": "" if is_form else text,
        "files": {},
        "form": _several(parse_qs(text, keep_blank_values=True)) if is_form else {},
        "headers": {name: call.headers[name] for name in sorted(set(call.headers))},
        "json": None if is_form else call.json(),
        "method": call.method,
        "origin": "127.0.0.1",
        "url": f"http://{call.host}{call.path}"
        + (f"?{call.query}" if call.query else ""),
    }
    return {name: everything[name] for name in names}


def echo(names: tuple[str, ...], call: Call) -> Reply:
    return json_reply(seen(call, names))


def give_status(call: Call, code: str) -> Reply:
    if not 200 <= int(code) <= 599:
        return json_reply({"message": "a status code from 200 to 599, please"}, 400)
    reply = Reply(int(code))
    if 301 <= int(code) <= 308 and int(code) not in (304, 305, 306):
        reply.headers["Location"] = "/get"
    return reply


def _seconds(text: str) -> float:
    """Return the seconds that text says: at most 10, and 0 if it is no such number."""
    try:
        return min(float(text), 10.0) if float(text) > 0 else 0.0
    except ValueError:
        return 0.0


def wait_first(call: Call, seconds: str) -> Reply:
    reply = echo(ALL_NAMES, call)
    reply.delay = _seconds(seconds)
    return reply


def _to(address: str, status: int = 302) -> Reply:
    return Reply(status, {"Location": address})


def redirect(call: Call, times: str) -> Reply:
    return _to("/get" if int(times) <= 1 else f"/redirect/{int(times) - 1}")


def redirect_to(call: Call) -> Reply:
    args = call.args
    if not args.get("url", "").isprintable() or not args.get("url"):
        return json_reply({"message": "redirect-to needs ?url=ADDRESS"}, 400)
    code = args.get("status_code", "302")
    return _to(
        args["url"], int(code) if code in ("301", "302", "303", "307", "308") else 302
    )


def basic_auth(call: Call, user: str, password: str) -> Reply:
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if call.headers.get("Authorization") != wanted:
        return Reply(401, {"WWW-Authenticate": 'Basic realm="mock"'})
    return json_reply({"authenticated": True, "user": user})


def bearer(call: Call) -> Reply:
    """Accept any bearer token, as httpbin does, and show that it came; unlike httpbin,
    do not say what it is.
    """
    return (
        json_reply({"authenticated": True})
        if call.key
        else unauthorized("A bearer token is needed")
    )


def some_bytes(call: Call, count: str) -> Reply:
    reply = Reply()
    seed = call.args.get("seed", "0")
    reply.set_body(
        random.Random(seed).randbytes(min(int(count), MOST_BYTES)),
        "application/octet-stream",
    )
    return reply


def drip(call: Call) -> Reply:
    """Send numbytes bytes, spread evenly over duration seconds, after delay seconds."""
    args = call.args
    count = min(_count(args.get("numbytes", ""), 10), 10_000)
    gap = _seconds(args.get("duration", "2")) / count
    reply = Reply(
        200, {"Content-Type": "application/octet-stream"}, [(gap, b"*")] * count
    )
    reply.delay = _seconds(args.get("delay", "0"))
    return reply


def json_lines(call: Call, count: str) -> Reply:
    about = seen(call, GET_NAMES)
    lines = [
        (0.0, to_json({"id": number, **about}) + b"\n")
        for number in range(min(int(count), 100))
    ]
    return Reply(200, {"Content-Type": "application/json"}, lines, is_chunked=True)


def gzipped(call: Call) -> Reply:
    reply = Reply(200, {"Content-Encoding": "gzip"})
    body = to_json({"gzipped": True, **seen(call, ("headers", "method", "origin"))})
    reply.set_body(gzip.compress(body, mtime=0), "application/json")
    return reply


UTF8_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>UTF-8</title></head>
<body><p>English, Français, Ελληνικά, Русский, 中文, 日本語, 한국어, 👋🌍</p></body>
</html>
"""
HTML_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><title>A page</title></head>
<body><h1>A page for people</h1><p>A program asked for it and now has to find out that it is not JSON.</p></body>
</html>
"""


def page(text: str, call: Call) -> Reply:
    reply = Reply()
    reply.set_body(text.encode(), "text/html; charset=utf-8")
    return reply
