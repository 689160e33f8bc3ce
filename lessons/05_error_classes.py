"""Turn everything that can go wrong in a call into one family of exceptions.

Twelve calls meet twelve faults. A table decides which error each fault becomes, and
whether the same call can succeed later. It takes about a second:
python lessons/05_error_classes.py

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    The capital of France is Paris.

    fault                 error                 again what to do
    status(401)           AuthenticationError   no    check the key and its source
    status(404)           NotFoundError         no    check the address and the model
    status(429)           RateLimitError        yes   wait for retry_after, then repeat
    quota()               QuotaExceededError    no    add money: waiting is no help
    html(502)             ServerError           yes   wait a little, repeat if safe
    bad_json()            InvalidResponseError  no    read the body: who sent it?
    stream_error()        ServerError           yes   failed in mid-work: repeat if safe
    hang()                APITimeoutError       yes   outcome unknown: repeat if safe
    stall(after_events=0) APITimeoutError       yes   outcome unknown: repeat if safe
    cut(after_bytes=40)   APIConnectionError    yes   reply broke off: repeat if safe
    drop("rst")           APIConnectionError    yes   is it up? repeat if safe
    nothing listens       APIConnectionError    yes   is it up? repeat if safe
"""

import argparse
import os
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from endpoint import choose_endpoint
from mock_server import MockServer, fault
from requests.exceptions import ChunkedEncodingError
from urllib3.exceptions import ReadTimeoutError


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


class RateLimitError(APIError):
    """Too many requests in too short a time."""

    is_retryable = True


class ServerError(APIError):
    """The server took the request and failed."""

    is_retryable = True


class InvalidResponseError(APIError):
    """A reply came that is not what this API promises."""


class APIConnectionError(APIError):
    """The call broke off before a whole reply arrived."""

    is_retryable = True


class APITimeoutError(APIConnectionError):
    """Time ran out before a whole reply arrived."""


# The first row that fits decides, so the particular stands above the general.
DECISIONS = (
    ("401", AuthenticationError, "check the key and its source"),
    ("402", QuotaExceededError, "add money: waiting is no help"),
    ("403", PermissionDeniedError, "ask for the right to do this"),
    ("404", NotFoundError, "check the address and the model"),
    ("408", APITimeoutError, "the server stopped waiting: repeat"),
    ("409", BadRequestError, "read the present state, decide anew"),
    ("429 insufficient_quota", QuotaExceededError, "add money: waiting is no help"),
    ("429", RateLimitError, "wait for retry_after, then repeat"),
    ("4xx", BadRequestError, "read the message, mend the request"),
    ("5xx", ServerError, "wait a little, repeat if safe"),
    (requests.JSONDecodeError, InvalidResponseError, "read the body: who sent it?"),
    ("2xx", ServerError, "failed in mid-work: repeat if safe"),
    (requests.Timeout, APITimeoutError, "outcome unknown: repeat if safe"),
    (ReadTimeoutError, APITimeoutError, "outcome unknown: repeat if safe"),
    (requests.ConnectionError, APIConnectionError, "is it up? repeat if safe"),
    (ChunkedEncodingError, APIConnectionError, "reply broke off: repeat if safe"),
    (ValueError, BadRequestError, "nothing was sent: mend the request"),
    ("anything else", InvalidResponseError, "read the reply: who sent it?"),
)


def decide(met: int | Exception, code: str = "") -> tuple[type[APIError], str]:
    """Return the error to raise, and the advice, from the first row that fits.

    met: the status code of the reply, or the exception that came in its place.
    code: the code of the error in the body of the reply.
    """
    names, errors = ["anything else"], []
    if isinstance(met, int):
        names += [f"{met} {code}", str(met), f"{met // 100}xx"]
    else:  # requests keeps the error of urllib3, the library below it, in args
        errors += [met, *met.args]
    for row, error_class, advice in DECISIONS:
        is_class = isinstance(row, type)
        if row in names or (is_class and any(isinstance(one, row) for one in errors)):
            return error_class, advice
    raise LookupError("the last row of DECISIONS must fit everything")


def retry_after_seconds(value: str | None) -> float | None:
    """Return what a Retry-After header asks for, in seconds from now.

    The header holds whole seconds or a date (RFC 9110, section 10.2.3); a date in the
    past gives 0.0. None if there is no header, or if it holds neither.
    """
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    date = date.replace(tzinfo=date.tzinfo or UTC)
    return max(0.0, date.timestamp() - time.time())


def read_explanation(response: requests.Response) -> tuple[str, str | None]:
    """Return the message and the code with which a reply explains a failure.

    Services write {"error": {"message", "code"}}, {"error": "text"} or
    {"message": "text"}. Without any of them, the start of the body must do.
    """
    try:
        body = response.json()
    except requests.JSONDecodeError:
        body = None
    body = body if isinstance(body, dict) else {}
    error = body.get("error") or body
    if isinstance(error, str):
        return error, None
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"]), error.get("code")
    return f"{response.status_code} {response.reason}: {response.text[:60]!r}", None


def error_from_response(
    response: requests.Response,
    cause: Exception | None = None,
) -> APIError:
    """Return the error for a bad reply, with all that the reply says about it.

    cause: what went wrong with the body; without it, the status decides.
    """
    message, code = read_explanation(response)
    error_class, advice = decide(cause or response.status_code, code or "")
    error = error_class(
        message,
        status=response.status_code,
        code=code,
        request_id=response.headers.get("x-request-id"),
        retry_after=retry_after_seconds(response.headers.get("Retry-After")),
    )
    error.add_note(advice)
    return error


def error_from_exception(cause: Exception) -> APIError:
    """Return the error for a request that brought no whole reply."""
    error_class, advice = decide(cause)
    error = error_class(f"{type(cause).__name__}: {cause}")
    error.add_note(advice)
    return error


class PlainAPIClient:
    """The client of lesson 03 in short; its failures are those of requests.

    Unless told, it uses OPENAI_API_KEY and OPENAI_BASE_URL; ValueError without them.
    """

    timeout = (3.05, 30.0)  # seconds to connect, and for each part of the reply

    def __init__(self, api_key: str | None = None, base_url: str | None = None) -> None:
        api_key = api_key or os.environ.get("OPENAI_API_KEY")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not api_key or not base_url:
            raise ValueError("set OPENAI_API_KEY and OPENAI_BASE_URL, or pass both")
        self.base_url = base_url.rstrip("/")
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {api_key}"

    def chat_completion(
        self,
        messages: list[dict[str, Any]],
        model: str,
        temperature: float = 0.7,
        max_tokens: int = 2000,
    ) -> dict[str, Any]:
        """Return the reply to a conversation, as the API sends it."""
        body = {"model": model, "messages": messages}
        body |= {"temperature": temperature, "max_tokens": max_tokens}
        return self._handle_response(self._send("/chat/completions", body))

    def _send(self, path: str, body: Any) -> requests.Response:
        return self.session.post(self.base_url + path, json=body, timeout=self.timeout)

    def _handle_response(self, response: requests.Response) -> Any:
        response.raise_for_status()
        return response.json()


class RobustAPIClient(PlainAPIClient):
    """The same client; every failure of a call is an APIError, as DECISIONS says."""

    def _send(self, path: str, body: Any) -> requests.Response:
        """Send the request; raise the error for a reply that never arrives whole."""
        try:
            return super()._send(path, body)
        except (requests.RequestException, ValueError) as cause:
            raise error_from_exception(cause) from cause

    def _handle_response(self, response: requests.Response) -> Any:
        """Return the body of a good reply; raise the error for any other."""
        if not 200 <= response.status_code <= 299:
            raise error_from_response(response)
        if response.status_code == 204:  # No Content: a success without a body
            return None
        try:
            body = response.json()
        except requests.JSONDecodeError as cause:
            raise error_from_response(response, cause) from cause
        if isinstance(body, dict) and body.get("error"):
            raise error_from_response(response)
        return body


TROUBLES = (
    fault.status(401),
    fault.status(404),
    fault.status(429),
    fault.quota(),
    fault.html(502),
    fault.bad_json(),
    fault.stream_error(),
    fault.hang(),
    fault.stall(after_events=0),
    fault.cut(after_bytes=40),
    fault.drop("rst"),
)


def show_failure(client: RobustAPIClient, trouble: str) -> None:
    """Ask the mock model something, and print one line about the failure."""
    try:
        client.chat_completion([{"role": "user", "content": "Hello"}], "mock-small")
    except APIError as error:
        again = "yes" if error.is_retryable else "no"
        name, advice = type(error).__name__, error.__notes__[0]
        print(f"{trouble:<22}{name:<22}{again:<6}{advice}")


def main() -> None:
    """Make one call that succeeds, then one for each trouble."""
    argparse.ArgumentParser(description=__doc__.partition("\n\n")[0]).parse_args()
    with MockServer() as server:
        endpoint = choose_endpoint(server)
        question = [{"role": "user", "content": "What is the capital of France?"}]
        reply = RobustAPIClient().chat_completion(question, endpoint.model)
        print(reply["choices"][0]["message"]["content"])

        print(f"\n{'fault':<22}{'error':<22}{'again':<6}what to do")
        client = RobustAPIClient(server.api_key, server.base_url)
        client.timeout = (5.0, 0.3)
        for trouble in TROUBLES:
            server.script(trouble)
            show_failure(client, str(trouble))
        server.stop()
        show_failure(client, "nothing listens")


if __name__ == "__main__":
    main()
