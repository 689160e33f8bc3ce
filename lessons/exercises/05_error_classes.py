"""Exercise 05: everything that can go wrong in a call, as one family of errors.

You may copy from the notebook; an import of robust_client gives no points.
"""

from typing import Any

import requests


class APIError(Exception):
    """Base of every failure of an API call.

    status: the status code; None if no whole reply came.
    code: the short name of the error in the reply's body, such as "invalid_api_key".
    request_id: the reply's x-request-id, to quote when you ask for help.
    retry_after: seconds to wait, from the reply's Retry-After. None if it has none.
        Further: the header may be a date, in the past 0.0, or nothing readable, None.
    """

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


class NotFoundError(APIError):
    """404: there is no such address, model or thing."""


class BadRequestError(APIError):
    """400 and any other 4xx; or arguments of which no request can be made."""


class RateLimitError(APIError):
    """429: too many requests in too short a time. It can succeed later."""


class QuotaExceededError(APIError):
    """429 with the code insufficient_quota, or 402: no wait brings the money back."""


class ServerError(APIError):
    """5xx, or a 2xx with an error in its JSON. It can succeed later."""


class APIConnectionError(APIError):
    """The call broke off before a whole reply arrived. It can succeed later."""


class APITimeoutError(APIConnectionError):
    """Time ran out before a whole reply arrived, or 408. It can succeed later."""


class InvalidResponseError(APIError):
    """A reply that this API does not promise, such as a 2xx whose body is no JSON."""


def raise_for_error(response: requests.Response) -> None:
    """Return None for a good reply, and raise the APIError that fits a bad one.

    Good is any 2xx without a body, or with JSON in which there is no "error"; one that
    is null is none. The error, of any class, says what the server says, and has status,
    code, request_id and retry_after from it. A server says it as
    {"error": {"message": "…", "code": "…"}}, {"error": "…"} or {"message": "…"}.

    Further, if you like: the JSON of a bad reply may have any other shape, such as [],
    5 or {"error": []}. The error is the one for its status; its message is up to you.
    """
    # TODO 1
    raise NotImplementedError("05_error_classes: write raise_for_error")


def is_retryable(error: BaseException) -> bool:
    """Say whether the same call, unchanged, can succeed later. No bug can."""
    # TODO 2
    raise NotImplementedError("05_error_classes: write is_retryable")


def call(method: str, url: str, **kwargs: Any) -> requests.Response:
    """Send a request and return its reply; every failure is an APIError.

    kwargs: as for requests.request, which gets a timeout even if there is none in them.
    The error of requests or about the JSON, if there was one, is the __cause__ of it.

    Further, if you like: rare failures. Arguments of which no request can be made (an
    address, a header, a value that JSON cannot hold) are a BadRequestError. A 3xx, too
    many redirects, or a body that cannot be unpacked is an APIError. None of these can
    succeed later.
    """
    # TODO 3
    raise NotImplementedError("05_error_classes: write call")
