"""A body that counts as false, such as [] or null, is taken for no JSON.

Rejected by: test_json_body
Keeps: 19 points
"""

import requests


def parse(response):
    try:
        body = response.json()
    except ValueError:
        body = None
    if not body:
        kind = response.headers.get("Content-Type")
        raise ValueError(f"no JSON but {kind}: {response.text[:60]}")
    return body


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
