"""Exercise 01: read JSON with GET, and follow the pages of a list to the end."""

from typing import Any


def get_json(
    url: str, params: dict[str, Any] | None = None, timeout: float = 10.0
) -> Any:
    """Return the parsed body of the reply to a GET: any JSON, so [], 0 or None too.

    params: the query. timeout: seconds to connect, and seconds of silence.
    Raises requests.HTTPError for a 4xx or 5xx status; for silence requests.Timeout, or
    the timeout error of the library you use; and for a body that is no JSON, such as an
    empty one, a ValueError that shows its content type and its first characters. JSON
    that is labelled as something else, such as text/plain, may be taken or refused.

    Further, if you like:
    - JSON is UTF-8, also if the reply names another charset, or none.
    - The dict params belongs to the caller, so it stays as it is.
    """
    # TODO 1
    raise NotImplementedError("01_basic_get: write get_json")


def fetch_all(url: str, params: dict[str, Any] | None = None) -> list[Any]:
    """Return the items of all pages, from the first page to the last.

    A page is a list, or an object whose "items" are one; it may be empty. Its Link
    header holds the address of the next page, parameters included, with rel="next"; a
    comma may be part of it. The last page names no next one. Every request has a
    timeout.
    Raises what get_json raises, with the same message, for a later page too.

    Further, if you like:
    - There may be any number of pages, thousands too.
    - An address may be relative to its page, which may be on another server.
    - A page that is neither a list nor such an object is a ValueError, and so are pages
      that lead back to one of them.
    """
    # TODO 2
    raise NotImplementedError("01_basic_get: write fetch_all")


# TODO 3, further, if you like: the lists at the end of both docstrings.
