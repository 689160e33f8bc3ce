"""With urllib.request, which raises an HTTPError of its own, and a regular expression
for the Link header.
"""

import json
import re
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import urlopen

import requests


def read(url, params, timeout):
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params)
    try:
        with urlopen(url, timeout=timeout) as reply:
            body, headers = reply.read(), reply.headers
    except HTTPError as error:
        raise requests.HTTPError(f"{error.code} {error.reason}: {url}") from error
    try:
        return json.loads(body), headers
    except ValueError:
        raise ValueError(
            f"{headers['Content-Type']} is not JSON: {body[:40]}"
        ) from None


def get_json(url, params=None, timeout=10.0):
    return read(url, params, timeout)[0]


def fetch_all(url, params=None):
    items, done = [], []
    while url not in done:
        page, headers = read(url, params, 10)
        if isinstance(page, dict):
            page = page.get("items")
        if not isinstance(page, list):
            raise ValueError(f"there is no list at {url}")
        items += page
        following = re.search(r'<([^>]*)>;\s*rel="?next"?', headers.get("Link", ""))
        if not following:
            return items
        done.append(url)
        url, params = urljoin(url, following[1]), None
    raise ValueError(f"{url} leads to itself in the end")
