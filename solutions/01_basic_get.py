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
    with requests.Session() as session:
        return _parse(_get(session, url, params, timeout))


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
