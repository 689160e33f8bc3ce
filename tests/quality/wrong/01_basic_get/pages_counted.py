"""The pages are counted, until an empty one, in place of following the Link header.

Rejected by: test_all_pages, test_one_page, test_from_the_second_page, test_address_that_cannot_be_guessed
Keeps: 15 points
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
    items, number = [], 1
    while True:
        page = get_json(url, {**(params or {}), "page": number})
        found = page["items"] if isinstance(page, dict) else page
        if not found:
            return items
        items += found
        number += 1
