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
    retry_after: seconds to wait, from the reply's Retry-After; None if there is none.
        Further: the header may be a date. Then it is the seconds from now to the date,
        0.0 if that is past; and None for a header that is neither.
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
    """400 and any other 4xx; or arguments that cannot make a request."""


class RateLimitError(APIError):
    """429: too many requests in too short a time. It can succeed later."""


class QuotaExceededError(APIError):
    """429 with the code insufficient_quota, or 402: the money is used up."""


class ServerError(APIError):
    """5xx, or a 2xx with an error in its JSON. It can succeed later."""


class APIConnectionError(APIError):
    """The call broke off before a whole reply arrived. It can succeed later."""


class APITimeoutError(APIConnectionError):
    """Time ran out before a whole reply arrived, or 408. It can succeed later."""


class InvalidResponseError(APIError):
    """A reply that this API does not promise, such as a 2xx whose body isn't JSON."""


def raise_for_error(response: requests.Response) -> None:
    """Return None for a good reply, and raise the APIError that fits a bad one.

    A 2xx is good if its body is empty, or JSON without an "error" (or with "error":
    null). Every error has the server's words in its message, and status, code,
    request_id and retry_after from the reply. Servers write their words as
    {"error": {"message": "…", "code": "…"}}, {"error": "…"} or {"message": "…"}.

    Further, if you like: the JSON of a bad reply may have any other shape, such as [],
    5 or {"error": []}. The status decides the class; the message is up to you.
    """
    # TODO 1
    raise NotImplementedError("05_error_classes: write raise_for_error")


def is_retryable(error: BaseException) -> bool:
    """Say whether the same call can succeed later. False for a bug (KeyError)."""
    # TODO 2
    raise NotImplementedError("05_error_classes: write is_retryable")


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
    # TODO 3
    raise NotImplementedError("05_error_classes: write call")
