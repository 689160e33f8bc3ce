"""With requests, whose adapter asks again after a 5xx: a GET may be repeated."""

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
        return response, response.json()
    except ValueError as error:
        raise ValueError(
            f"{response.headers.get('Content-Type')}: {response.text[:100]}"
        ) from error


def get_json(url, params=None, timeout=10.0):
    return load(url, params, timeout)[1]


def fetch_all(url, params=None):
    items = []
    while url:
        response, page = load(url, params, 10.0)
        items.extend(page if isinstance(page, list) else page["items"])
        url, params = response.links.get("next", {}).get("url"), None
    return items
