"""Lesson 05, first half: what came back when something went wrong, and what it says."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import requests
from requests.exceptions import ChunkedEncodingError, InvalidJSONError
from urllib3.exceptions import ReadTimeoutError

# What requests and httpx raise when no whole reply comes.
TIMEOUTS = (requests.Timeout, ReadTimeoutError, httpx.TimeoutException)
UNSENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
BREAKS = (requests.ConnectionError, ChunkedEncodingError, httpx.TransportError)
MISTAKES = (ValueError, TypeError, InvalidJSONError)
FAILURES = (requests.RequestException, httpx.HTTPError, *UNSENT, *MISTAKES)

ANSWER = {"choices", "data"}  # one of these is in every good reply
WORDS = ("error", "message", "detail", "msg")  # where servers put what they say


def words_in(part: Any) -> str:
    """Return what a body, or a part of it, says of a failure; "" if it says nothing.

    Servers send {"error": {"message": …}}, {"error": "…"}, {"message": "…"},
    {"detail": [{"msg": …}]}, a list of such objects, or a text.
    """
    if isinstance(part, dict):
        return next(filter(None, (words_in(part.get(name)) for name in WORDS)), "")
    if isinstance(part, list):
        return "; ".join(filter(None, map(words_in, part)))
    return "" if part is None else str(part)


def names_in(part: Any) -> tuple[str | None, str | None]:
    """Return the code and the type of the error that a body, or a part of it, names."""
    if isinstance(part, dict) and isinstance(part.get("error"), dict):
        part = part["error"]
    if not isinstance(part, dict):
        return None, None
    code, kind = part.get("code"), part.get("type")
    return code if code is None else str(code), kind if isinstance(kind, str) else None


def error_in(body: Any) -> Any:
    """Return the error inside the body of a 200, in any shape; None if there is none.

    Shapes: an "error" of its own, or in the first choice; a "message" or "detail" where
    an answer should be; the finish_reason "error".
    """
    if not isinstance(body, dict):
        return None
    if body.get("error") or (not body.keys() & ANSWER and words_in(body)):
        return body
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return None
    is_broken = choice.get("error") or choice.get("finish_reason") == "error"
    return choice if is_broken else None


def is_answer(body: Any) -> bool:
    """Say whether the JSON of a 200 holds what was asked for, and no error."""
    is_known = isinstance(body, dict) and bool(body.keys() & ANSWER)
    return is_known and error_in(body) is None


def describe_reply(status: int, content: bytes) -> tuple[str, str | None, set]:
    """Return the words of a bad reply, its code, and all that the table may call it.

    Without words of its own, the start of its body has to do.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    part = error_in(body) if status // 100 == 2 else body
    code, kind = names_in(part)
    start = content[:60].decode("utf-8", "replace")
    words = words_in(part) or f"{status} with this body: {start!r}"
    if status // 100 == 2 and part is None:
        return words, code, {"no answer"}
    if status // 100 == 2 and re.fullmatch("[45][0-9][0-9]", code or ""):
        status = int(code)  # some servers write the status that they mean into the code
    return words, code, {str(status), f"{status // 100}xx", code, kind}


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks you to wait.

    The header holds whole seconds or a date (RFC 9110, section 10.2.3); real servers
    also send 1.5, and dates with a numeric zone. A date in the past gives 0.0. None if
    there is no header, or if it holds neither.

    now: the present in seconds since 1970; None asks time.time().
    """
    value = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return min(float(value), 1e9)  # more is as good as never
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    date = date.replace(tzinfo=date.tzinfo or UTC)
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def causes_of(error: Any) -> Iterator[BaseException]:
    """Yield an exception and those that it was made of, in requests and in httpx."""
    if isinstance(error, BaseException):
        yield error
        for below in (*error.args, getattr(error, "reason", None), error.__cause__):
            yield from causes_of(below)
