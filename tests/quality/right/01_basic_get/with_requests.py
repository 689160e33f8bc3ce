"""requests, a function for the body, and a loop over the pages on one connection."""

import json
from urllib.parse import urljoin

import requests

SESSION = requests.Session()


def parse(response):
    try:
        return json.loads(response.content)
    except ValueError as error:
        kind = response.headers.get("Content-Type")
        raise ValueError(f"no JSON but {kind}: {response.text[:60]}") from error


def get_json(url, params=None, timeout=10.0):
    response = requests.get(url, params=params, timeout=timeout)
    response.raise_for_status()
    return parse(response)


def fetch_all(url, params=None):
    items, seen = [], set()
    while url:
        if url in seen:
            raise ValueError(f"the page {url} comes again")
        seen.add(url)
        response = SESSION.get(url, params=params, timeout=10)
        response.raise_for_status()
        page = parse(response)
        found = page.get("items") if isinstance(page, dict) else page
        if not isinstance(found, list):
            raise ValueError(f"no items in the page {url}")
        items += found
        following = response.links.get("next", {}).get("url")
        url, params = following and urljoin(response.url, following), None
    return items
