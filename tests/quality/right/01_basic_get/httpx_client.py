"""With httpx: one client for all pages, and its errors turned into the one that is
asked for.
"""

import httpx
import requests


def load(client, url, params=None):
    response = client.get(url, params=params)
    try:
        response.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise requests.HTTPError(str(error)) from error
    try:
        return response, response.json()
    except ValueError as error:
        kind = response.headers.get("content-type")
        raise ValueError(
            f"The body is {kind!r} and begins with {response.text[:100]!r}"
        ) from error


def get_json(url, params=None, timeout=10.0):
    with httpx.Client(timeout=timeout, follow_redirects=True) as client:
        return load(client, url, params)[1]


def items_in(page):
    items = page.get("items") if isinstance(page, dict) else page
    if not isinstance(items, list):
        raise ValueError("a page without a list of items")
    return items


def fetch_all(url, params=None):
    with httpx.Client(timeout=10, follow_redirects=True) as client:
        response, page = load(client, url, params)
        items = list(items_in(page))
        before = [httpx.URL(url)]
        while "next" in response.links:
            following = response.url.join(response.links["next"]["url"])
            if following in before:
                raise ValueError(f"a circle of pages, which begins at {following}")
            before.append(following)
            response, page = load(client, following)
            items += items_in(page)
    return items
