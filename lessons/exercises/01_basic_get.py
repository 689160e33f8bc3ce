"""Exercise 01: read JSON with GET, and follow the pages of a list to the end."""

from typing import Any


def get_json(
    url: str, params: dict[str, Any] | None = None, timeout: float = 10.0
) -> Any:
    """Return the parsed body of the reply to a GET: any JSON, even [], 0 or null.

    params: the query. timeout: seconds to connect, and seconds of silence.

    Raises:
    - requests.HTTPError for a 4xx or 5xx status.
    - requests.Timeout for silence, or the timeout error of the library you use.
    - ValueError for a body that isn't JSON, such as an empty one. Its message shows the
      content type and the first characters of the body.
    JSON with another label, such as text/plain, may be accepted or refused.

    Further, if you like:
    - Read JSON as UTF-8, even if the reply names another charset, or none.
    - Leave the dict params as it is: it belongs to the caller.
    """
    # TODO 1
    raise NotImplementedError("01_basic_get: write get_json")


def fetch_all(url: str, params: dict[str, Any] | None = None) -> list[Any]:
    """Return the items of all pages, from the first page to the last.

    A page is a list, or an object with a list under "items"; the list may be empty. The
    Link header of a page has the address of the next page, marked rel="next", with all
    its parameters; an address may contain a comma. The last page has no rel="next".
    Every request has a timeout.
    Raises the same errors as get_json, with the same messages, for later pages too.

    Further, if you like:
    - There may be any number of pages, even thousands.
    - An address may be relative to its page, and may lead to another server.
    - Raise a ValueError for a page that is neither a list nor such an object, and for
      pages that go round in a circle.
    """
    # TODO 2
    raise NotImplementedError("01_basic_get: write fetch_all")


# TODO 3, further, if you like: the lists at the end of both docstrings.
