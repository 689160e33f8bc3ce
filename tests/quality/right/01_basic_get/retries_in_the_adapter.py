"""With requests, whose adapter asks again after a 5xx: a GET may be repeated."""

import json
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

SESSION = requests.Session()
POLICY = Retry(
    total=2,
    backoff_factor=0.05,
    status_forcelist=[500, 502, 503, 504],
    raise_on_status=False,
    read=False,
)
SESSION.mount("http://", HTTPAdapter(max_retries=POLICY))


def load(url, params, timeout):
    response = SESSION.get(url, params=params, timeout=timeout)
    response.raise_for_status()
    try:
        return response, json.loads(response.content)
    except ValueError as error:
        raise ValueError(
            f"{response.headers.get('Content-Type')}: {response.text[:100]}"
        ) from error


def get_json(url, params=None, timeout=10.0):
    return load(url, params, timeout)[1]


def fetch_all(url, params=None):
    pages = {}  # by their addresses
    while url:
        if url in pages:
            raise ValueError(f"{url} for the second time")
        response, page = load(url, params, 10.0)
        pages[url] = page if isinstance(page, list) else as_items(page)
        following = response.links.get("next", {}).get("url")
        url, params = urljoin(response.url, following) if following else None, None
    return [item for page in pages.values() for item in page]


def as_items(page):
    try:
        items = page["items"]
    except (TypeError, LookupError):
        raise ValueError(f"no page: {page!r:.50}") from None
    if isinstance(items, list):
        return items
    raise ValueError(f"items is no list but {type(items).__name__}")
