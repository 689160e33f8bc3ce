"""The first address of the Link header is taken for the next page, whatever its rel says.

Rejected by: test_all_pages, test_from_the_second_page, test_address_that_cannot_be_guessed
Keeps: 17 points
"""

import re

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
    items, seen = [], set()
    while url and url not in seen:
        seen.add(url)
        response = requests.get(url, params=params, timeout=10)
        response.raise_for_status()
        page = parse(response)
        items += page["items"] if isinstance(page, dict) else page
        found = re.search("<(.*?)>", response.headers.get("Link", ""))
        url, params = found and found[1], None
    return items
