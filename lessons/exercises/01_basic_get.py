"""Exercise 01: read JSON with GET, and follow the pages of a list to the end."""

from typing import Any


def get_json(
    url: str, params: dict[str, Any] | None = None, timeout: float = 10.0
) -> Any:
    """Return the parsed body of the reply to a GET.

    params: the query. timeout: seconds to connect, and seconds of silence.
    Raises requests.HTTPError for a 4xx or 5xx status, requests.Timeout for the silence,
    and for a body that is no JSON a ValueError with its content type and its start.
    """
    # TODO 1
    raise NotImplementedError("01_basic_get: write get_json")


def fetch_all(url: str, params: dict[str, Any] | None = None) -> list[Any]:
    """Return the items of all pages, from the first page to the last.

    A page is a list, or an object whose "items" are one. Its Link header says where the
    next page is: rel="next". The last page has none. Raises what get_json raises.
    """
    # TODO 2
    raise NotImplementedError("01_basic_get: write fetch_all")
