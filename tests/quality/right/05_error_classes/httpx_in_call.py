"""With httpx in call, whose tree of errors is its own; what it brings is copied into a
requests.Response.
"""

import datetime
import email.utils

import httpx
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


RATHER = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    429: RateLimitError,
}


def retry_after(headers):
    value = headers.get("Retry-After")
    try:
        return None if value is None else float(int(value))
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max((date - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0)


def raise_for_error(response):
    try:
        body = response.json() if response.text else {}
    except requests.exceptions.JSONDecodeError as error:
        if response.status_code < 300:
            raise make(
                InvalidResponseError, response, {"message": response.text[:100]}
            ) from error
        body = {"message": response.text[:100]}
    inside = body.get("error") if isinstance(body, dict) else None
    if response.status_code < 300:
        if inside:
            raise make(ServerError, response, inside)
        return
    detail = inside or body
    family = BadRequestError if response.status_code < 500 else ServerError
    kind = RATHER.get(response.status_code, family)
    if isinstance(detail, dict) and detail.get("code") == "insufficient_quota":
        kind = QuotaExceededError
    raise make(kind, response, detail)


def make(kind, response, detail):
    detail = detail if isinstance(detail, dict) else {"message": str(detail)}
    return kind(
        detail.get("message", "no explanation"),
        status=response.status_code,
        code=detail.get("code"),
        request_id=response.headers.get("x-request-id"),
        retry_after=retry_after(response.headers),
    )


def is_retryable(error):
    return type(error) in (
        RateLimitError,
        ServerError,
        APIConnectionError,
        APITimeoutError,
    )


def call(method, url, **kwargs):
    try:
        brought = httpx.request(
            method, url, **{"timeout": 20, "follow_redirects": True, **kwargs}
        )
    except httpx.TimeoutException as error:
        raise APITimeoutError(f"{type(error).__name__} {error}") from error
    except (
        httpx.UnsupportedProtocol,
        httpx.LocalProtocolError,
        httpx.InvalidURL,
    ) as error:
        raise BadRequestError(str(error)) from error
    except (TypeError, ValueError) as error:  # no JSON, no header
        raise BadRequestError(str(error)) from error
    except httpx.TransportError as error:
        raise APIConnectionError(f"{type(error).__name__} {error}") from error
    except (
        httpx.RequestError
    ) as error:  # too many redirects, a body that cannot be decoded
        raise InvalidResponseError(f"{type(error).__name__} {error}") from error
    response = requests.Response()
    response.status_code, response.url, response.reason = (
        brought.status_code,
        url,
        brought.reason_phrase,
    )
    response.headers.update(brought.headers)
    response._content = brought.content
    raise_for_error(response)
    return response
