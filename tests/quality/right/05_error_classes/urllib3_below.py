"""With urllib3 in call: its errors, its timeout, no retries; the Response is built by
the adapter of requests.
"""

import json
import time
from email.utils import mktime_tz, parsedate_tz
from urllib.parse import urlencode

import requests
import urllib3
from requests.adapters import HTTPAdapter


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


POOL = urllib3.PoolManager(retries=False)
BY_STATUS = {
    400: BadRequestError,
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    429: RateLimitError,
}


def wait_of(text):
    if text is None or text.isdecimal():
        return text and float(text)
    date = parsedate_tz(text)
    return None if date is None else max(0.0, mktime_tz(date) - time.time())


def raise_for_error(response):
    status, headers = response.status_code, response.headers
    good = status // 100 == 2
    if good and not response.content:
        return
    try:
        body = json.loads(response.content)
    except ValueError as error:
        if good:
            raise InvalidResponseError(
                "the body is no JSON: " + response.text[:50],
                status=status,
                request_id=headers.get("x-request-id"),
            ) from error
        body = {}
    detail = body.get("error", body) if isinstance(body, dict) else {}
    if good and (not isinstance(body, dict) or not body.get("error")):
        return
    if not isinstance(detail, dict):
        detail = {"message": str(detail)}
    code = detail.get("code")
    kind = BY_STATUS.get(
        status, ServerError if good or status >= 500 else BadRequestError
    )
    if kind is RateLimitError and code == "insufficient_quota":
        kind = QuotaExceededError
    message = detail.get("message") or f"status {status}"
    wait = wait_of(headers.get("retry-after"))
    raise kind(
        message,
        status=status,
        code=code,
        request_id=headers.get("x-request-id"),
        retry_after=wait,
    )


def is_retryable(error):
    return isinstance(error, (APIConnectionError, RateLimitError, ServerError))


def call(method, url, *, params=None, timeout=30.0, **kwargs):
    if params:
        url += "?" + urlencode(params)
    if "data" in kwargs:
        kwargs["body"] = kwargs.pop("data")
    request = requests.Request(method, url)
    try:
        if "json" in kwargs:
            kwargs["body"] = json.dumps(kwargs.pop("json"), allow_nan=False)
        if urllib3.util.parse_url(url).scheme not in ("http", "https"):
            raise urllib3.exceptions.LocationValueError(
                f"no address of a web server: {url}"
            )
        raw = POOL.request(
            method, url, timeout=timeout, preload_content=False, **kwargs
        )
        response = HTTPAdapter().build_response(request, raw)
        response._content = raw.read()
    except (
        ValueError,
        TypeError,
    ) as error:  # a LocationValueError is one too, and so is a header of two lines
        raise BadRequestError(str(error)) from error
    except urllib3.exceptions.NewConnectionError as error:
        raise APIConnectionError(str(error)) from error
    except urllib3.exceptions.TimeoutError as error:
        raise APITimeoutError(str(error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise APIConnectionError(str(error)) from error
    raise_for_error(response)
    return response
