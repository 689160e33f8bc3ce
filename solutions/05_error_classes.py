"""Solution 05: every failure of a call as one family of errors.

Sources: RFC 9110, section 15 (status codes) and section 10.2.3 (Retry-After);
https://platform.openai.com/docs/guides/error-codes
"""

import calendar
import json
import re
import ssl
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, InvalidHeader
from urllib3.exceptions import ReadTimeoutError

TIMEOUT = 30.0  # seconds to connect, and of silence


class APIError(Exception):
    """Base of every failure of an API call.

    status: the status code; None if no whole reply came.
    code: the short name of the error in the reply's body, such as "invalid_api_key".
    request_id: the reply's x-request-id, to quote when you ask for help.
    retry_after: seconds to wait, from the reply's Retry-After; None if there is none.
        Further: the header may be a date. Then it is the seconds from now to the date,
        0.0 if that is past; and None for a header that is neither.
    """

    is_retryable = False  # True in a class whose call can succeed later, unchanged

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.request_id, self.retry_after = request_id, retry_after


class AuthenticationError(APIError):
    """401: the server does not know who you are."""


class PermissionDeniedError(APIError):
    """403: the server knows who you are, and you may not do this."""


class BadRequestError(APIError):
    """400 and any other 4xx; or arguments that cannot make a request."""


class NotFoundError(APIError):
    """404: there is no such address, model or thing."""


class RateLimitError(APIError):
    """429: too many requests in too short a time. It can succeed later."""

    is_retryable = True


class QuotaExceededError(APIError):
    """429 with the code insufficient_quota, or 402: the money is used up."""


class ServerError(APIError):
    """5xx, or a 2xx with an error in its JSON. It can succeed later."""

    is_retryable = True


class APIConnectionError(APIError):
    """The call broke off before a whole reply arrived. It can succeed later."""

    is_retryable = True


class APITimeoutError(APIConnectionError):
    """Time ran out before a whole reply arrived, or 408. It can succeed later."""


class CertificateError(APIConnectionError):
    """The server could not prove who it is; a repetition does not change that."""

    is_retryable = False


class InvalidResponseError(APIError):
    """A reply that this API does not promise, such as a 2xx whose body isn't JSON."""


_BY_STATUS = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    429: RateLimitError,
}
# For any other status, by its first digit: 2 is an error inside a success. A redirect
# is not followed, and what is not in 100 to 599 is no status of HTTP.
_BY_FAMILY = {2: ServerError, 4: BadRequestError, 5: ServerError}
# The first that fits decides: the particular above the general.
_BY_EXCEPTION = (
    (ssl.SSLCertVerificationError, CertificateError),
    (requests.Timeout, APITimeoutError),
    (ReadTimeoutError, APITimeoutError),  # in the body: requests wraps it differently
    (requests.ConnectionError, APIConnectionError),
    (ChunkedEncodingError, APIConnectionError),
    ((ValueError, TypeError), BadRequestError),  # no URL, no JSON: nothing was sent
    (requests.RequestException, InvalidResponseError),  # too many redirects, bad gzip
)
_WORDS = ("error", "errors", "message", "detail", "title", "msg")  # keys of a failure


def raise_for_error(response: requests.Response) -> None:
    """Return None for a good reply, and raise the APIError that fits a bad one.

    A 2xx is good if its body is empty, or JSON without an "error" (or with "error":
    null). Every error has the server's words in its message, and status, code,
    request_id and retry_after from the reply. Servers write their words as
    {"error": {"message": "…", "code": "…"}}, {"error": "…"} or {"message": "…"}.

    Further, if you like: the JSON of a bad reply may have any other shape, such as [],
    5 or {"error": []}. The status decides the class; the message is up to you.
    """
    body = None
    is_success = 200 <= response.status_code <= 299
    try:  # JSON is UTF-8, whatever the header says of it
        body = json.loads(response.content) if response.content else None
    except (ValueError, RecursionError) as cause:
        if is_success:
            message = f"no JSON: {response.content[:200]!r}"
            raise _error(InvalidResponseError, response, message) from cause
    part = _error_inside(body) if is_success else body
    if is_success and part is None:
        return
    facts = part if isinstance(part, dict) else {}
    facts = facts["error"] if isinstance(facts.get("error"), dict) else facts
    code = None if facts.get("code") is None else str(facts["code"])
    error_class = _class_for(response.status_code, code, facts.get("type"))
    message = _words_in(part) or f"{response.status_code}: {response.content[:200]!r}"
    if response.is_redirect:
        message = f"{response.status_code}: redirected to {_host_of(response)}"
    raise _error(error_class, response, message, code)


def is_retryable(error: BaseException) -> bool:
    """Say whether the same call can succeed later. False for a bug (KeyError)."""
    return isinstance(error, APIError) and error.is_retryable


def call(method: str, url: str, **kwargs: Any) -> requests.Response:
    """Send a request and return its reply; every failure is an APIError.

    kwargs: the arguments of requests.request. If there is no timeout among them, add
        one.
    If requests or the JSON parser raised an error, it is the __cause__ of yours.

    Further, if you like: rare failures. Arguments that cannot make a request (a wrong
    address or header, a value that JSON cannot hold) are a BadRequestError. A 3xx, too
    many redirects, or a body that cannot be unpacked is an APIError. is_retryable is
    False for all of these.
    """
    kwargs.setdefault("timeout", TIMEOUT)
    # A redirect would take the key and the body to another address.
    kwargs.setdefault("allow_redirects", False)
    # A login in ~/.netrc would replace a key in the headers.
    kwargs.setdefault("auth", lambda request: request)
    try:
        response = requests.request(method, url, **kwargs)
        _ = response.content  # with stream=True, the body arrives only now
    except (InvalidHeader, UnicodeEncodeError):  # they quote the header, and so the key
        cause = ValueError("a header or the body has a character that cannot be sent")
    except (requests.RequestException, ValueError, TypeError) as error:
        cause = error
    else:
        raise_for_error(response)
        response.encoding = None  # or .json() believes a wrong charset in the header
        return response
    raise _class_for_exception(cause)(f"{type(cause).__name__}: {cause}") from cause


def _class_for_exception(cause: Exception) -> type[APIError]:
    """Return the error for what requests raised in place of a reply."""
    met = [cause]
    for one in met:  # in args and reason are the errors of the libraries below
        below = (*one.args, getattr(one, "reason", None))
        met += [part for part in below if isinstance(part, Exception)]
    return next(
        error_class
        for kind, error_class in _BY_EXCEPTION
        if any(isinstance(one, kind) for one in met)
    )


def _class_for(status: int, code: str | None, kind: Any) -> type[APIError]:
    """Return the error for a status, and for code and type in the body of the reply."""
    if "insufficient_quota" in (code, kind):
        return QuotaExceededError
    family = _BY_FAMILY.get(status // 100, InvalidResponseError)
    return _BY_STATUS.get(status, family)


def _error(
    error_class: type[APIError],
    response: requests.Response,
    message: str,
    code: str | None = None,
) -> APIError:
    """Return an error with all that a reply says about it."""
    return error_class(
        message,
        status=response.status_code,
        code=code,
        request_id=response.headers.get("x-request-id"),
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _error_inside(body: Any) -> Any:
    """Return the part of a success's JSON that reports an error; None if none does."""
    parts = [body]
    with suppress(TypeError, KeyError):  # no object, or none with choices
        parts += body["choices"]
    for part in parts:
        facts = part if isinstance(part, dict) else {}
        names = (facts.get("object"), facts.get("finish_reason"))
        if facts.get("error") or "error" in names or facts.keys() == {"detail"}:
            return part
    return None


def _words_in(body: Any) -> str:
    """Return all that a body, or a part of it, says of a failure; "" if nothing.

    Services write {"error": {"message": "…"}}, {"error": "…"}, {"message": "…"},
    {"detail": [{"msg": "…"}]}, a list of such objects, or a text.
    """
    words, parts = [], [body]
    for part in parts:  # which grows, as there is more below
        if isinstance(part, dict):
            part = [part.get(name) for name in _WORDS]
        if isinstance(part, list):
            parts += part
        elif isinstance(part, str):
            words.append(part)
    return "; ".join(words)


def _host_of(response: requests.Response) -> str | None:
    """Return the host to which a redirect leads; None if it cannot be read."""
    try:
        return urlsplit(urljoin(response.url, response.headers["Location"])).hostname
    except ValueError:
        return None


def _seconds(value: str | None) -> float | None:
    """Return what a Retry-After header asks for: seconds from now; None for neither.

    It holds seconds, of which some servers send fractions, or a date, GMT unless it
    names another zone; one in the past is 0.0 seconds from now.
    """
    if value is None:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return min(float(value), 1e9)  # more is as good as never
    try:
        date = parsedate_to_datetime(value).utctimetuple()  # GMT if it has no zone
        return max(0.0, calendar.timegm(date) - time.time())
    except (ValueError, OverflowError):
        return None
