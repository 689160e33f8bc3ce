"""requests, a table from status to class, and a function for each step."""

import time
from email.utils import parsedate_to_datetime

import requests


class APIError(Exception):
    def __init__(
        self, message, *, status=None, code=None, request_id=None, retry_after=None
    ):
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class AuthenticationError(APIError): ...


class PermissionDeniedError(APIError): ...


class BadRequestError(APIError): ...


class NotFoundError(APIError): ...


class RateLimitError(APIError): ...


class QuotaExceededError(APIError): ...


class ServerError(APIError): ...


class APIConnectionError(APIError): ...


class APITimeoutError(APIConnectionError): ...


class InvalidResponseError(APIError): ...


BY_STATUS = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    429: RateLimitError,
}


def seconds(value):
    if value is None or value.isdecimal():
        return value and float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def class_for(status, code):
    if code == "insufficient_quota":
        return QuotaExceededError
    return BY_STATUS.get(status) or (BadRequestError if status < 500 else ServerError)


def raise_for_error(response):
    status = response.status_code
    facts = {
        "status": status,
        "request_id": response.headers.get("x-request-id"),
        "retry_after": seconds(response.headers.get("Retry-After")),
    }
    try:
        body = response.json() if response.content else None
    except requests.JSONDecodeError as error:
        if status < 300:
            raise InvalidResponseError(
                f"no JSON: {response.text[:60]}", **facts
            ) from error
        body = None
    body = body if isinstance(body, dict) else {}
    found = body.get("error")
    if status < 300 and not found:
        return
    if not isinstance(found, dict):
        found = {"message": found or body.get("message")}
    code = found.get("code")
    kind = ServerError if status < 300 else class_for(status, code)
    raise kind(found.get("message") or response.text[:60], code=code, **facts)


def is_retryable(error):
    return isinstance(error, (RateLimitError, ServerError, APIConnectionError))


def call(method, url, **kwargs):
    kwargs.setdefault("timeout", 30)
    try:
        response = requests.request(method, url, **kwargs)
    except requests.Timeout as error:
        raise APITimeoutError(str(error)) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise APIConnectionError(str(error)) from error
    except requests.ConnectionError as error:
        if "Read timed out" in str(error):
            raise APITimeoutError(str(error)) from error
        raise APIConnectionError(str(error)) from error
    except (requests.RequestException, ValueError, TypeError) as error:
        raise BadRequestError(str(error)) from error
    raise_for_error(response)
    return response
