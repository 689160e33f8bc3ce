"""The Content-Type is believed: what calls itself JSON is parsed without a net.

Rejected by: test_damaged_json
Keeps: 19 points
"""

import requests


def parse(response):
    kind = response.headers.get("Content-Type", "")
    if "json" not in kind:
        raise ValueError(f"no JSON but {kind}: {response.text[:60]}")
    return response.json()


def get_json(url, params=None, timeout=10.0):
    response = requests.get(url, params=params, timeout=timeout)
    response.raise_for_status()
    return parse(response)


def fetch_all(url, params=None):
    items = []
    while url:
        response = requests.get(url, params=params, timeout=10)
        response.raise_for_status()
        page = parse(response)
        items += page["items"] if isinstance(page, dict) else page
        url, params = response.links.get("next", {}).get("url"), None
    return items
