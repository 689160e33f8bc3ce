"""With requests: the Content-Type looked at before the body, exception classes of its
own, a generator of pages.
"""

from itertools import chain
from urllib.parse import urljoin

import requests


class NotJSONError(ValueError):
    """The body is no JSON."""


class PagesError(ValueError):
    """The pages do not make a list."""


def decode(response):
    kind = response.headers.get("Content-Type", "")
    response.encoding = "utf-8"
    if "json" in kind:
        try:
            return response.json()
        except requests.exceptions.JSONDecodeError:
            pass
    raise NotJSONError(kind + " | " + response.text[:200])


def get_json(url, params=None, timeout=10.0):
    response = requests.get(url, params, timeout=timeout)
    if response.ok:
        return decode(response)
    raise requests.HTTPError(response.status_code, response=response)


def items_of(page):
    if isinstance(page, dict) and "items" in page:
        page = page["items"]
    if isinstance(page, list):
        return page
    raise PagesError(f"no list: {str(page)[:50]}")


def pages(url, params):
    asked = {url}
    with requests.Session() as session:
        response = session.get(url, params=params, timeout=10)
        while True:
            response.raise_for_status()
            yield items_of(decode(response))
            if "next" not in response.links:
                return
            url = urljoin(response.url, response.links["next"]["url"])
            if url in asked:
                raise PagesError(f"round in a circle: {url}")
            asked.add(url)
            response = session.get(url, timeout=10)


def fetch_all(url, params=None):
    return list(chain.from_iterable(pages(url, params)))
