"""The Content-Type is compared as a whole, so a charset behind it turns JSON into an error.

Rejected by: test_content_type_with_charset
Keeps: 19 points
"""

import requests


def parse(response):
    kind = response.headers.get("Content-Type")
    if kind == "application/json":
        try:
            return response.json()
        except ValueError:
            pass
    raise ValueError(f"no JSON but {kind}: {response.text[:60]}")


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
