"""With match statements over status and body; a 429 or a 5xx is found by its family."""

import contextlib
import time
from email.utils import parsedate_to_datetime

import requests


class APIError(Exception):
    def __init__(
        self, message, *, status=None, code=None, request_id=None, retry_after=None
    ):
        super().__init__(message)
        self.status, self.code, self.request_id, self.retry_after = (
            status,
            code,
            request_id,
            retry_after,
        )


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


def class_for(status, code):
    match status, code:
        case _, "insufficient_quota":
            return QuotaExceededError
        case 401, _:
            return AuthenticationError
        case 402, _:
            return QuotaExceededError
        case 403, _:
            return PermissionDeniedError
        case 404, _:
            return NotFoundError
        case 408, _:
            return APITimeoutError
        case 429, _:
            return RateLimitError
        case number, _ if 400 <= number < 500:
            return BadRequestError
        case number, _ if number < 300 or number >= 500:
            return ServerError
    return InvalidResponseError


def explanation(body, otherwise):
    match body:
        case {"error": {"message": str(message), **rest}}:
            return message, rest.get("code")
        case {"error": str(message)} | {"message": str(message)}:
            return message, None
    return otherwise, None


def raise_for_error(response):
    body, cause = None, None
    if response.content:
        try:
            body = response.json()
        except ValueError as error:
            cause = error
    facts = {
        "status": response.status_code,
        "request_id": response.headers.get("X-Request-Id"),
    }
    is_good = 200 <= response.status_code < 300
    wait = response.headers.get("Retry-After", "")
    if wait.isdigit():
        facts["retry_after"] = int(wait)
    else:
        with contextlib.suppress(ValueError):
            facts["retry_after"] = max(
                0, parsedate_to_datetime(wait).timestamp() - time.time()
            )
    if is_good and cause:
        raise InvalidResponseError(
            f"no JSON: {response.text[:80]!r}", **facts
        ) from cause
    if is_good and not (isinstance(body, dict) and body.get("error")):
        return
    message, code = explanation(body, f"{response.status_code} {response.reason}")
    raise class_for(response.status_code, code)(message, code=code, **facts)


def is_retryable(error):
    match error:
        case RateLimitError() | ServerError() | APIConnectionError():
            return True
    return False


def call(method, url, timeout=10, **kwargs):
    try:
        response = requests.request(method, url, timeout=timeout, **kwargs)
    except (requests.RequestException, ValueError, TypeError) as error:
        match error:
            case requests.Timeout():
                kind = APITimeoutError
            case requests.ConnectionError() if "timed out" in str(error):
                kind = APITimeoutError
            case (
                requests.ConnectionError() | requests.exceptions.ChunkedEncodingError()
            ):
                kind = APIConnectionError
            case _:
                kind = BadRequestError
        raise kind(repr(error)) from error
    raise_for_error(response)
    return response
