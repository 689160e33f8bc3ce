"""Solution 05: every failure of a call as one family of errors.

Sources: RFC 9110, section 15 (status codes) and section 10.2.3 (Retry-After);
https://platform.openai.com/docs/guides/error-codes
"""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.exceptions import ChunkedEncodingError
from urllib3.exceptions import ReadTimeoutError

TIMEOUT = (3.05, 30.0)  # seconds to connect, and of silence


class APIError(Exception):
    """Base of every failure of an API call.

    status: the status code; None if no whole reply came.
    code: the short name of the error in the reply's body, such as "invalid_api_key".
    request_id: the reply's x-request-id, to quote when you ask for help.
    retry_after: seconds to wait, from the reply's Retry-After: a number or a date, of
        which one in the past means 0.0. None if there is none that can be read.
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
    """400 and any other 4xx; or arguments of which no request can be made."""


class NotFoundError(APIError):
    """404: there is no such address, model or thing."""


class RateLimitError(APIError):
    """429: too many requests in too short a time. It can succeed later."""

    is_retryable = True


class QuotaExceededError(APIError):
    """429 with the code insufficient_quota, or 402: no wait brings the money back."""


class ServerError(APIError):
    """5xx, or a 2xx with an error in its JSON. It can succeed later."""

    is_retryable = True


class APIConnectionError(APIError):
    """The call broke off before a whole reply arrived. It can succeed later."""

    is_retryable = True


class APITimeoutError(APIConnectionError):
    """Time ran out before a whole reply arrived, or 408. It can succeed later."""


class InvalidResponseError(APIError):
    """A reply that this API does not promise, such as a 2xx whose body is no JSON."""


_BY_STATUS = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    429: RateLimitError,
}
# For any other status, by its first digit: 3xx is a redirect that was not followed.
_BY_FAMILY = {3: InvalidResponseError, 4: BadRequestError}
# The first that fits decides: the particular above the general.
_BY_EXCEPTION = (
    (requests.Timeout, APITimeoutError),
    (ReadTimeoutError, APITimeoutError),  # in the body: requests wraps it differently
    (requests.ConnectionError, APIConnectionError),
    (ChunkedEncodingError, APIConnectionError),
    (ValueError, BadRequestError),  # no URL, no JSON, no header: nothing was sent
    (requests.RequestException, InvalidResponseError),  # too many redirects, bad gzip
)


def raise_for_error(response: requests.Response) -> None:
    """Return None for a good reply, and raise the APIError that fits a bad one.

    Good is any 2xx without a body, or with JSON in which there is no "error". The error
    says what the server says, and has status, code, request_id and retry_after from it.
    A server says it as {"error": {"message": "…", "code": "…"}}, {"error": "…"} or
    {"message": "…"} in JSON; what is said in no such way is up to you.
    """
    body = None
    is_success = 200 <= response.status_code <= 299
    try:
        body = response.json() if response.content else None
    except requests.JSONDecodeError as cause:
        if is_success:
            message = f"no JSON: {response.text[:60]!r}"
            raise _error(InvalidResponseError, response, message) from cause
    if is_success and not (isinstance(body, dict) and body.get("error")):
        return
    message, code = _explanation(response, body)
    raise _error(_class_for(response.status_code, code), response, message, code)


def is_retryable(error: BaseException) -> bool:
    """Say whether the same call, unchanged, can succeed later. No bug can."""
    return isinstance(error, APIError) and error.is_retryable


def call(method: str, url: str, **kwargs: Any) -> requests.Response:
    """Send a request and return its reply; every failure is an APIError.

    kwargs: as for requests.request, which gets a timeout even if there is none in them.
    The error of requests or about the JSON, if there was one, is the __cause__ of it.
    """
    kwargs.setdefault("timeout", TIMEOUT)
    try:
        response = requests.request(method, url, **kwargs)
    except (requests.RequestException, ValueError) as cause:
        error_class = _class_for_exception(cause)
        raise error_class(f"{type(cause).__name__}: {cause}") from cause
    raise_for_error(response)
    return response


def _class_for_exception(cause: Exception) -> type[APIError]:
    """Return the error for what requests raised in place of a reply."""
    met = (cause, *cause.args)  # in args is the error of urllib3, the library below
    return next(
        error_class
        for kind, error_class in _BY_EXCEPTION
        if any(isinstance(one, kind) for one in met)
    )


def _class_for(status: int, code: str | None) -> type[APIError]:
    """Return the error for a status, and for the code in the body of the reply."""
    if code == "insufficient_quota":
        return QuotaExceededError
    return _BY_STATUS.get(status) or _BY_FAMILY.get(status // 100, ServerError)


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


def _explanation(response: requests.Response, body: Any) -> tuple[str, str | None]:
    """Return the message and the code with which a reply explains a failure.

    Services write {"error": {"message", "code"}}, {"error": "text"} or
    {"message": "text"}; without any of these, the start of the body has to do.
    """
    body = body if isinstance(body, dict) else {}
    error = body.get("error") or body
    if isinstance(error, str):
        return error, None
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"]), error.get("code")
    return f"{response.status_code} {response.reason}: {response.text[:60]!r}", None


def _seconds(value: str | None) -> float | None:
    """Return what a Retry-After header asks for: seconds from now; None for neither.

    It holds whole seconds, or a date, and one in the past is 0.0 seconds from now.
    """
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value).replace(tzinfo=UTC)  # always GMT
    except (ValueError, OverflowError):
        return None
    return max(0.0, date.timestamp() - time.time())
