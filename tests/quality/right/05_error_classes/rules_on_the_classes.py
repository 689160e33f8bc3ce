"""Every class knows its own rule: the status codes it stands for, and whether a retry
can help.
"""

import time
from email.utils import parsedate_to_datetime

import requests
import urllib3


class APIError(Exception):
    codes = ()
    again = False

    def __init__(
        self, message, *, status=None, code=None, request_id=None, retry_after=None
    ):
        super().__init__(message)
        self.__dict__.update(
            status=status, code=code, request_id=request_id, retry_after=retry_after
        )


class AuthenticationError(APIError):
    codes = (401,)


class PermissionDeniedError(APIError):
    codes = (403,)


class NotFoundError(APIError):
    codes = (404,)


class RateLimitError(APIError):
    codes, again = (429,), True


class QuotaExceededError(APIError):
    codes = (402,)


class APIConnectionError(APIError):
    again = True


class APITimeoutError(APIConnectionError):
    codes = (408,)


class BadRequestError(APIError):
    codes = range(400, 500)


class ServerError(APIError):
    codes, again = (*range(200, 300), *range(500, 600)), True


class InvalidResponseError(APIError):
    codes = range(1000)


def raise_for_error(response):
    body, cause = {}, None
    try:
        body = response.json() if response.content else {}
    except requests.JSONDecodeError as error:
        cause = error
    told = body if isinstance(body, dict) else {}
    if 200 <= response.status_code < 300 and not cause and not told.get("error"):
        return
    told = told.get("error") or told
    told = told if isinstance(told, dict) else {"message": str(told)}
    kinds = [*APIError.__subclasses__(), *APIConnectionError.__subclasses__()]
    general = (BadRequestError, ServerError, InvalidResponseError)
    kinds = [kind for kind in kinds if kind not in general] + list(general)
    kind = next(kind for kind in kinds if response.status_code in kind.codes)
    if told.get("code") == "insufficient_quota":
        kind = QuotaExceededError
    if cause and response.status_code < 300:
        kind = InvalidResponseError
    wait = response.headers.get("Retry-After")
    try:
        wait = float(wait) if wait else None
        wait = None if wait is None or not 0 <= wait < 1e9 else wait
    except ValueError:
        try:
            wait = max(0.0, parsedate_to_datetime(wait).timestamp() - time.time())
        except (TypeError, ValueError):
            wait = None
    raise kind(
        told.get("message", response.text[:70]),
        status=response.status_code,
        code=told.get("code"),
        request_id=response.headers.get("x-request-id"),
        retry_after=wait,
    ) from cause


def is_retryable(error):
    return getattr(error, "again", False)


def call(method, url, **kwargs):
    with requests.Session() as session:
        try:
            response = session.request(method, url, **{"timeout": (3, 30)} | kwargs)
        except requests.exceptions.RequestException as error:
            inner = error.args[0] if error.args else None
            if isinstance(error, requests.exceptions.Timeout) or isinstance(
                inner, urllib3.exceptions.ReadTimeoutError
            ):
                raise APITimeoutError("no reply in time") from error
            if isinstance(
                error,
                (
                    requests.exceptions.ConnectionError,
                    requests.exceptions.ChunkedEncodingError,
                ),
            ):
                raise APIConnectionError("the connection broke") from error
            raise BadRequestError(f"no request can be made: {error}") from error
        except (TypeError, ValueError) as error:
            raise BadRequestError(f"no request can be made: {error}") from error
    raise_for_error(response)
    return response
