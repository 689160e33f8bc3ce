"""The Link header is split at each comma, also at one that is part of an address.

Rejected by: test_address_that_cannot_be_guessed
Keeps: 19 points
"""

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
        links = [
            link.partition(";") for link in response.headers.get("Link", "").split(",")
        ]
        found = [
            address.strip(" <>") for address, _, rest in links if 'rel="next"' in rest
        ]
        url, params = found[0] if found else None, None
    return items
