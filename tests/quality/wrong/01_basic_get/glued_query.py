"""The query string is glued together with f-strings.

Rejected by: test_params, test_all_pages
Keeps: 18 points
"""

import requests


def parse(response):
    try:
        return response.json()
    except ValueError as error:
        kind = response.headers.get("Content-Type")
        raise ValueError(f"no JSON but {kind}: {response.text[:60]}") from error


def with_query(url, params):
    if not params:
        return url
    return url + "?" + "&".join(f"{name}={value}" for name, value in params.items())


def get_json(url, params=None, timeout=10.0):
    response = requests.get(with_query(url, params), timeout=timeout)
    response.raise_for_status()
    return parse(response)


def fetch_all(url, params=None):
    items = []
    while url:
        response = requests.get(with_query(url, params), timeout=10)
        response.raise_for_status()
        page = parse(response)
        items += page["items"] if isinstance(page, dict) else page
        url, params = response.links.get("next", {}).get("url"), None
    return items
