"""Lesson 05, first half: what came back when something went wrong, and what it says."""

import json
import re
import ssl
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import requests
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from .keys import hide_keys

# Where servers put what they say of a failure.
WORDS = ("error", "errors", "message", "detail", "title", "msg")

# What requests and httpx raise when no whole reply comes.
TIMEOUTS = (requests.Timeout, ReadTimeoutError, httpx.TimeoutException)
UNSENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
BREAKS = (requests.ConnectionError, ProtocolError, httpx.TransportError)
MISTAKES = (ValueError, TypeError)  # in the address, the key or the body
FAILURES = (requests.RequestException, httpx.HTTPError, *UNSENT, *MISTAKES)

# The first that fits counts: a break can have a ValueError below it.
NO_REPLY = (
    ("no valid certificate", ssl.SSLCertVerificationError),
    ("no whole reply in time", TIMEOUTS),
    ("nothing was sent", UNSENT),
    ("no whole reply", BREAKS),
    ("nothing was sent", MISTAKES),
)


def words_in(part: Any, levels: int = 5) -> str:
    """Return all that a body, or a part of it, says of a failure; "" if nothing.

    Servers send {"error": {"message": …}}, {"error": "…"}, {"message": "…"},
    {"detail": [{"msg": …}]}, a list of such objects, or a text. levels: how deep to
    look.
    """
    if isinstance(part, dict):
        part = [part.get(name) for name in WORDS]
    if isinstance(part, list) and levels:
        return "; ".join(filter(None, (words_in(one, levels - 1) for one in part)))
    return part if isinstance(part, str) else ""


def names_in(part: Any) -> tuple[str | None, str | None]:
    """Return the code and the type of the error that a body, or a part of it, names."""
    if isinstance(part, dict) and isinstance(part.get("error"), dict):
        part = part["error"]
    facts = part if isinstance(part, dict) else {}
    code, kind = facts.get("code"), facts.get("type")
    return code if code is None else str(code), kind if isinstance(kind, str) else None


def has_answer(body: Any) -> bool:
    """Say whether the JSON of a 200 holds an answer, or the list of models."""
    facts = body if isinstance(body, dict) else {}
    choices, data = facts.get("choices"), facts.get("data")
    return isinstance(data, list) or (isinstance(choices, list) and choices != [])


def error_in(body: Any) -> Any:
    """Return the error inside the body of a 200, in any shape; None if there is none.

    Shapes: an "error" of its own, or in the first choice; a "message" or "detail" where
    an answer should be; the finish_reason "error".
    """
    if not isinstance(body, dict):
        return None
    if body.get("error") or (not has_answer(body) and words_in(body)):
        return body
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return None
    is_broken = choice.get("error") or choice.get("finish_reason") == "error"
    return choice if is_broken else None


def is_answer(body: Any) -> bool:
    """Say whether the JSON of a 200 holds what was asked for, and no error."""
    return has_answer(body) and error_in(body) is None


def describe_reply(status: int, content: bytes) -> tuple[str, str | None, set]:
    """Return the words of a bad reply, its code, and all that the table may call it.

    If it has no words, the start of its body is shown.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    part = error_in(body) if status // 100 == 2 else body
    code, kind = names_in(part)
    start = hide_keys(content.decode("utf-8", "replace"))[:200]
    words = hide_keys(words_in(part)) or f"{status} with this body: {start!r}"
    if status // 100 == 2 and part is None:
        return words, code, {"no answer"}
    if status // 100 == 2 and re.fullmatch("[45][0-9][0-9]", code or ""):
        status = int(code)  # some servers write the status that they mean into the code
    return words, code, {str(status), f"{status // 100}xx", code, kind}


def causes_of(error: BaseException) -> list[BaseException]:
    """Return an exception and all those that it was made of, in requests and httpx."""
    found = [error]
    for one in found:  # the list grows while the loop reads it
        below = (*one.args, getattr(one, "reason", None), one.__cause__)
        found += [part for part in below if isinstance(part, BaseException)]
    return found


def name_of(cause: BaseException) -> str:
    """Return what the table calls an exception that came in place of a reply."""
    causes = causes_of(cause)
    for name, kinds in NO_REPLY:
        if any(isinstance(one, kinds) for one in causes):
            return name
    return "a reply that cannot be read"


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks you to wait.

    The header holds whole seconds or a date (RFC 9110, section 10.2.3); real servers
    also send 1.5, and dates with a numeric zone. A date in the past gives 0.0. None if
    there is no header, or if it holds neither.

    now: the present in seconds since 1970; None asks time.time().
    """
    if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", value or ""):
        return min(float(value), 1e9)  # more is as good as never
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    date = date.replace(tzinfo=date.tzinfo or UTC)
    return max(0.0, date.timestamp() - (time.time() if now is None else now))
