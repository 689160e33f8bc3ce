"""With requests: the Content-Type looked at before the body, an exception class of its
own, a generator of pages.
"""

from itertools import chain

import requests


class NotJSONError(ValueError):
    """The body is no JSON."""


def decode(response):
    kind = response.headers.get("Content-Type", "")
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


def pages(url, params):
    with requests.Session() as session:
        response = session.get(url, params=params, timeout=10)
        while True:
            response.raise_for_status()
            yield decode(response)
            if "next" not in response.links:
                return
            response = session.get(response.links["next"]["url"], timeout=10)


def fetch_all(url, params=None):
    return list(
        chain.from_iterable(
            page if isinstance(page, list) else page["items"]
            for page in pages(url, params)
        )
    )
