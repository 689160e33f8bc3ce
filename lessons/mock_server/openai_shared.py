"""What all of OpenAI's addresses have in common: errors, keys, limits and models.

The shapes follow OpenAI's published API description and the sources of its Python SDK.
"""

import math
from typing import Any

from .call import Call
from .mock_model import Tool
from .records import mask
from .reply import Reply, json_reply, retry_after_header

CREATED = 1_750_000_000  # every object says that it was made at this Unix second


def error_body(
    status: int,
    message: str,
    type: str | None = None,
    code: str | int | None = None,
    param: str | None = None,
) -> dict[str, Any]:
    """Return OpenAI's error object; type and code that are not given follow from the
    status.
    """
    if status == 429:
        usual = ("requests", "rate_limit_exceeded")
    else:
        usual = ("server_error" if status >= 500 else "invalid_request_error", None)
    type, code = type or usual[0], usual[1] if code is None else code
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def error_headers(status: int) -> dict[str, str]:
    """Return how to authenticate, which a 401 must say (RFC 9110, section 11.6.1)."""
    return {"WWW-Authenticate": 'Bearer realm="mock"'} if status == 401 else {}


def fail(status: int, message: str, **more: Any) -> Reply:
    """Return an error reply."""
    reply = json_reply(error_body(status, message, **more), status)
    reply.headers |= error_headers(status)
    return reply


def bad(param: str, message: str, code: str = "invalid_type") -> Reply:
    """Return the 400 for a wrong parameter."""
    return fail(400, message, param=param, code=code)


def check_key(call: Call) -> Reply | None:
    """Return the 401 for a missing or wrong key, or None if the key is right."""
    if not call.key:
        message = "You did not provide an API key. Send it in a header: "
        return fail(401, message + "Authorization: Bearer YOUR_KEY")
    if call.key != call.state.api_key:
        message = f"Incorrect API key provided: {mask(call.key)}"
        return fail(401, message, code="invalid_api_key")
    return None


def headers(call: Call, reply: Reply) -> dict[str, str]:
    """Return the headers of every reply."""
    return {
        "x-request-id": call.request_id,
        "openai-processing-ms": str(round(reply.delay * 1000)),
        "openai-version": "2020-10-01",
        **_limit_headers(call),
    }


def _limit_headers(call: Call) -> dict[str, str]:
    """Return the six x-ratelimit headers of the key."""
    found = {}
    for kind, bucket in call.state.limiter.buckets(call.key).items():
        found[f"x-ratelimit-limit-{kind}"] = str(bucket.limit)
        found[f"x-ratelimit-remaining-{kind}"] = str(bucket.remaining)
        found[f"x-ratelimit-reset-{kind}"] = go_duration(bucket.reset)
    return found


def go_duration(seconds: float) -> str:
    """Return seconds the way Go prints a duration, to the millisecond: `8ms`, `1s`,
    `6m0s`, `1h0m0s`.
    """
    milliseconds = round(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def check_limit(call: Call, tokens: int) -> Reply | None:
    """Charge the key with a request of so many tokens; return the 429 if that is more
    than it has.
    """
    short = call.state.limiter.take(call.key, tokens)
    if not short:
        return None
    kind, wait = short
    if wait == math.inf:
        message = f"Request too large for {kind} per minute: it needs {tokens}."
        return fail(429, message, type=kind)
    message = f"Rate limit reached for {kind} per minute. "
    reply = fail(429, f"{message}Please try again in {wait:.3f}s.", type=kind)
    reply.headers["Retry-After"] = retry_after_header(wait)
    reply.is_limited = True
    return reply


# --- what a request says --------------------------------------------------------------


def tool_of(function: dict[str, Any]) -> Tool:
    """Return the tool that a function describes."""
    about = str(function.get("description") or "")
    return Tool(function["name"], about, function.get("parameters"))


# --- models ---------------------------------------------------------------------------


def _model_object(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "mock-server",
    }


def unknown_model(name: str, hint: str = "GET /v1/models lists those that do") -> Reply:
    message = f"The model {name!r} does not exist; {hint}."
    return fail(404, message, code="model_not_found")


def list_models(call: Call) -> Reply:
    names = [name for name in call.state.models() if name != "*"]
    models = [_model_object(name) for name in names]
    return json_reply({"object": "list", "data": models})


def get_model(call: Call, name: str) -> Reply:
    if not call.state.has_model(name):
        return unknown_model(name)
    return json_reply(_model_object(name))
