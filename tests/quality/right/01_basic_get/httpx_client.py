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


def fetch_all(url, params=None):
    with httpx.Client(timeout=10, follow_redirects=True) as client:
        response, page = load(client, url, params)
        items = list(page["items"] if isinstance(page, dict) else page)
        while "next" in response.links:
            response, page = load(
                client, response.url.join(response.links["next"]["url"])
            )
            items += page["items"] if isinstance(page, dict) else page
    return items
