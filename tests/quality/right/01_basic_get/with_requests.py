"""requests, a function for the body, and a loop over the pages."""

import requests


def parse(response):
    try:
        return response.json()
    except ValueError as error:
        kind = response.headers.get("Content-Type")
        raise ValueError(f"no JSON but {kind}: {response.text[:60]}") from error


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
