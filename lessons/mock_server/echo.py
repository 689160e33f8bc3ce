"""httpbin's dialect, as far as the lessons need it: it tells what it was sent, and
gives the status or the redirect that is asked for.

The keys are httpbin's; of its many addresses only those here exist.
"""

import base64
from email.message import Message
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from .call import Call
from .dialect import Dialect, Route
from .reply import Reply, json_reply

GET_NAMES = ("args", "headers", "origin", "url")
POST_NAMES = ("args", "data", "files", "form", "headers", "json", "origin", "url")
ALL_NAMES = (*POST_NAMES[:-2], "method", *POST_NAMES[-2:])
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _several(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return pairs as a dict; a name that comes more than once has a list of values."""
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in grouped.items()
    }


def _query_pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)


def _readable(data: bytes, content_type: str = "application/octet-stream") -> str:
    """Return data as text; what is not UTF-8 as a data URI (RFC 2397)."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def _parse_header(name: str, value: str) -> Message:
    """Return a message that has this header alone, and so can take it apart."""
    message = Message()
    message[name] = value
    return message


def _parts(body: bytes, boundary: str) -> list[tuple[str, bool, str]]:
    """Return name, is_file and content of each part of a multipart body (RFC 7578)."""
    found = []
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:]:
        head, separator, content = part.partition(b"\r\n\r\n")
        if part.startswith(b"--") or not separator:
            continue
        headers = Message()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if value and name.isascii() and name.isprintable():
                headers[name] = value.strip()
        name = headers.get_param("name", "", "Content-Disposition")
        is_file = headers.get_filename() is not None
        text = _readable(content, headers.get_content_type())
        found.append((str(name), is_file, text))
    return found


def seen(call: Call, names: tuple[str, ...]) -> dict[str, Any]:
    """Return what httpbin tells of a request, under httpbin's names."""
    content_type = _parse_header("Content-Type", call.headers.get("Content-Type", ""))
    kind, boundary = content_type.get_content_type(), content_type.get_boundary()
    data, form, files = "", [], []
    if kind == "application/x-www-form-urlencoded":
        form = _query_pairs(call.body.decode("utf-8", "replace"))
    elif kind == "multipart/form-data" and boundary:
        parts = _parts(call.body, boundary)
        form = [(name, text) for name, is_file, text in parts if not is_file]
        files = [(name, text) for name, is_file, text in parts if is_file]
    else:
        data = _readable(call.body)
    by_name: dict[str, str] = {}
    for name in sorted(set(call.headers)):
        values = ", ".join(call.headers.getall(name))  # RFC 9110, section 5.3
        if name.lower() not in map(str.lower, by_name):
            by_name[name] = values
    query = f"?{call.query}" if call.query else ""
    everything = {
        "args": _several(_query_pairs(call.query)),
        "data": data,
        "files": _several(files),
        "form": _several(form),
        "headers": by_name,
        "json": call.json if data else None,
        "method": call.method,
        "origin": "127.0.0.1",
        "url": f"http://{call.host}{call.path}{query}",
    }
    return {name: everything[name] for name in names}


def echo(names: tuple[str, ...], call: Call) -> Reply:
    return json_reply(seen(call, names))


def give_status(call: Call, code: str) -> Reply:
    if not 200 <= int(code) <= 599:
        return DIALECT.fail(400, "a status code from 200 to 599, please")
    reply = Reply(int(code))
    if 301 <= int(code) <= 308 and int(code) not in (304, 305, 306):
        reply.headers["Location"] = "/get"
    return reply


def _to(address: str, status: int = 302) -> Reply:
    return Reply(status, {"Location": address})


def redirect(call: Call, times: str) -> Reply:
    return _to("/get" if int(times) <= 1 else f"/redirect/{int(times) - 1}")


def redirect_to(call: Call) -> Reply:
    address = call.args.get("url", "")
    if not address or not address.isprintable():
        return DIALECT.fail(400, "redirect-to needs ?url=ADDRESS")
    code = call.args.get("status_code", "302")
    is_known = code in ("301", "302", "303", "307", "308")
    return _to(address, int(code) if is_known else 302)


def _for_every_method(path: str, answer: Any) -> list[Route]:
    return [(method, path, answer) for method in METHODS]


DIALECT = Dialect(
    routes=(
        ("GET", "/get", partial(echo, GET_NAMES)),
        ("POST", "/post", partial(echo, POST_NAMES)),
        ("GET", "/headers", partial(echo, ("headers",))),
        ("GET", "/redirect/{number}", redirect),
        *_for_every_method("/anything", partial(echo, ALL_NAMES)),
        *_for_every_method("/status/{number}", give_status),
        *_for_every_method("/redirect-to", redirect_to),
    ),
    prefix="",
)
