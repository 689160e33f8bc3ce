"""Lesson 05: every failure of a call as one family of errors, decided by one table.

Sources: RFC 9110, section 15; https://platform.openai.com/docs/guides/error-codes
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .batch import AsyncOpenAIClient
from .chat import OpenAIClient, refuse_redirect
from .replies import FAILURES, describe_reply, is_answer, name_of, parse_retry_after


class APIError(Exception):
    """Base of every failure of an API call.

    status: the status code; None if no whole reply came.
    code: the short name of the error in the reply's body, such as "invalid_api_key".
    request_id: what to quote when you ask the service for help.
    retry_after: seconds that the server asks you to wait.
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


class BadRequestError(APIError):
    """The request is wrong, and will be wrong the next time: change it."""


class AuthenticationError(APIError):
    """The server does not know who you are."""


class PermissionDeniedError(APIError):
    """The server knows who you are, and you may not do this."""


class NotFoundError(APIError):
    """There is no such address, model or thing."""


class QuotaExceededError(APIError):
    """The money or the allowance is used up; no wait brings it back."""


class InvalidResponseError(APIError):
    """A reply came that is not what this API promises."""


class RateLimitError(APIError):
    """Too many requests in too short a time."""

    is_retryable = True


class ServerError(APIError):
    """The server took the request and failed."""

    is_retryable = True


class APIConnectionError(APIError):
    """The call broke off before a whole reply arrived."""

    is_retryable = True


class APITimeoutError(APIConnectionError):
    """Time ran out before a whole reply arrived."""


class CertificateError(APIConnectionError):
    """The server could not prove who it is; a repetition does not change that."""

    is_retryable = False


# The first row with a name that fits decides: the particular stands above the general.
DECISIONS = (
    ("402, insufficient_quota", QuotaExceededError, "add money: waiting does not help"),
    ("401, invalid_api_key", AuthenticationError, "check the key and its source"),
    ("403", PermissionDeniedError, "ask for the right to do this"),
    ("404", NotFoundError, "check the address and the model"),
    ("408", APITimeoutError, "the server stopped waiting: repeat"),
    ("409", BadRequestError, "read the present state, decide again"),
    ("429, rate_limit_exceeded", RateLimitError, "wait for retry_after, then repeat"),
    ("3xx", InvalidResponseError, "a redirect: is base_url right?"),
    ("4xx", BadRequestError, "read the message, mend the request"),
    ("5xx", ServerError, "wait a little, repeat if safe"),
    ("invalid_request_error", BadRequestError, "read the message, mend the request"),
    ("2xx", ServerError, "stopped midway: repeat if safe"),
    ("no valid certificate", CertificateError, "check the address and the clock"),
    ("no whole reply in time", APITimeoutError, "repeat if safe"),
    ("no whole reply", APIConnectionError, "is it up? repeat if safe"),
    ("nothing was sent", BadRequestError, "mend the request"),
)


def decide(names: set[str | None]) -> tuple[type[APIError], str]:
    """Return the error to raise, and the advice, from the first row that fits.

    names: what a failure may be called: "503", "5xx", the code and type of its error.
    """
    for row, error_class, advice in DECISIONS:
        if names & set(row.split(", ")):
            return error_class, advice
    return InvalidResponseError, "read the reply: who sent it?"


def error_from_response(response: Any) -> APIError:
    """Return the error for a bad reply, of requests or httpx, with all that it says."""
    status, headers = response.status_code, response.headers
    message, code, names = describe_reply(status, response.content)
    if status // 100 == 3 and "Location" in headers:
        message = refuse_redirect(response)
    facts = {"status": status, "code": code, "request_id": headers.get("x-request-id")}
    facts["retry_after"] = parse_retry_after(headers.get("Retry-After"))
    error_class, advice = decide(names)
    error = error_class(message, **facts)
    error.add_note(advice)
    return error


def error_from_exception(cause: Exception) -> APIError:
    """Return the error for what requests or httpx raised, in words that fit both."""
    name = name_of(cause)
    error_class, advice = decide({name})
    error = error_class(name)
    error.add_note(advice)
    return error


def checked_body(response: Any) -> Any:
    """Return the JSON of a good reply; raise the error for any other."""
    if response.status_code // 100 == 2:
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError) as cause:
            raise error_from_response(response) from cause
        if is_answer(body):
            return body
    raise error_from_response(response)


@contextmanager
def add_request_id(response: Any) -> Iterator[None]:
    """Put the request id of a reply into the errors that its body leads to."""
    try:
        yield
    except APIError as error:
        error.request_id = response.headers.get("x-request-id")
        raise


class CheckedAPIClient(OpenAIClient):
    """The same client; every failure of a call is an APIError, as DECISIONS says."""

    def _send(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        try:
            return super()._send(method, path, body, **more)
        except FAILURES as cause:
            raise error_from_exception(cause) from cause

    def _handle_response(self, response: Any) -> Any:
        return checked_body(response)


class CheckedAsyncClient(AsyncOpenAIClient):
    """The same for asyncio: a failed call of a batch is an APIError as well."""

    async def _send(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        try:
            return await super()._send(method, path, body, **more)
        except FAILURES as cause:
            raise error_from_exception(cause) from cause

    def _handle_response(self, response: Any) -> Any:
        return checked_body(response)

    def _find_answer(self, reply: dict[str, Any]) -> str:
        try:
            return super()._find_answer(reply)
        except ValueError as cause:
            raise InvalidResponseError(str(cause), status=200) from cause
