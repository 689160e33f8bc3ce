"""raise_for_status() decides what is bad; its HTTPError is translated, with the
server's explanation put back.
"""

import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
from requests import exceptions


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


def seconds_until(text):
    if text and text.isnumeric():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - datetime.datetime.now(datetime.UTC)
    except (TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())


def error_of(response):
    try:
        body = response.json()
    except exceptions.JSONDecodeError:
        return {"message": response.text[:200]}
    error = body["error"] if isinstance(body, dict) and "error" in body else body
    return error if isinstance(error, dict) else {"message": str(error)}


def translate(kind, response):
    error = error_of(response)
    return kind(
        f"{response.status_code}: {error.get('message')}",
        status=response.status_code,
        code=error.get("code"),
        request_id=response.headers.get("x-request-id"),
        retry_after=seconds_until(response.headers.get("Retry-After")),
    )


def raise_for_error(response):
    try:
        response.raise_for_status()
    except exceptions.HTTPError as error:
        raise translate(kind_of(response), response) from error
    if (
        response.status_code >= HTTPStatus.MULTIPLE_CHOICES
    ):  # which raise_for_status() lets through
        raise translate(InvalidResponseError, response)
    if response.status_code == HTTPStatus.NO_CONTENT or not response.content:
        return
    try:
        body = response.json()
    except exceptions.JSONDecodeError as error:
        raise translate(InvalidResponseError, response) from error
    if isinstance(body, dict) and body.get("error"):
        raise translate(ServerError, response)


def kind_of(response):
    status = (
        HTTPStatus(response.status_code)
        if response.status_code in list(HTTPStatus)
        else response.status_code
    )
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthenticationError
    elif (
        status == HTTPStatus.PAYMENT_REQUIRED
        or error_of(response).get("code") == "insufficient_quota"
    ):
        return QuotaExceededError
    elif status == HTTPStatus.FORBIDDEN:
        return PermissionDeniedError
    elif status == HTTPStatus.NOT_FOUND:
        return NotFoundError
    elif status == HTTPStatus.REQUEST_TIMEOUT:
        return APITimeoutError
    elif status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitError
    return ServerError if status >= 500 else BadRequestError


def is_retryable(error):
    if isinstance(error, APIConnectionError):
        return True
    # one after the other, as beginners write it
    return isinstance(error, RateLimitError) or isinstance(error, ServerError)  # noqa: SIM101


def call(method, url, **kwargs):
    if kwargs.get("timeout") is None:
        kwargs["timeout"] = 15
    try:
        response = requests.request(method, url, **kwargs)
    except exceptions.Timeout as error:
        raise APITimeoutError("it took too long") from error
    except (exceptions.ConnectionError, exceptions.ChunkedEncodingError) as error:
        if "Read timed out" in str(error):
            raise APITimeoutError("it took too long") from error
        raise APIConnectionError("the connection failed") from error
    except (exceptions.RequestException, ValueError, TypeError) as error:
        raise BadRequestError(str(error)) from error
    raise_for_error(response)
    return response
