"""Solution 01: read JSON with GET, and follow the pages of a list to the end.

Sources: RFC 9110, section 15 (status codes); RFC 8288 (the Link header).
"""

import json
from typing import Any
from urllib.parse import urljoin

import requests


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
    with requests.Session() as session:
        return _parse(_get(session, url, params, timeout))


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
    items: list[Any] = []
    seen = set()
    with requests.Session() as session:  # one connection for all pages
        while url:
            if url in seen:
                raise ValueError(f"the pages go round in a circle: {url} again")
            seen.add(url)
            response = _get(session, url, params)
            page = _parse(response)
            if isinstance(page, dict):
                page = page.get("items")
            if not isinstance(page, list):
                raise ValueError(f"no list of items in the page {url}")
            items += page
            url, params = _next_url(response), None  # the address has them already
    return items


def _get(
    session: requests.Session,
    url: str,
    params: dict[str, Any] | None,
    timeout: float = 10.0,
) -> requests.Response:
    response = session.get(url, params=params, timeout=timeout)
    response.raise_for_status()
    return response


def _parse(response: requests.Response) -> Any:
    """Return the JSON of a good reply.

    json.loads finds out by itself which UTF the bytes are in (RFC 8259, section 8.1),
    where response.json() believes a wrong charset in the Content-Type.
    """
    try:
        return json.loads(response.content)
    except ValueError as error:
        kind = response.headers.get("Content-Type")
        raise ValueError(f"no JSON, but {kind}: {response.text[:80]!r}") from error


def _next_url(response: requests.Response) -> str | None:
    """Return the address of the next page, or None after the last one."""
    for relations, link in response.links.items():
        if "next" in relations.lower().split():  # "next last" is possible too
            return urljoin(response.url, link["url"])  # it may be relative
    return None
