"""Where the body is no JSON, its text is returned, and the caller finds out later.

Rejected by: test_html_page_with_200, test_damaged_json, test_long_page
Keeps: 15 points
"""

import requests


def parse(response):
    try:
        return response.json()
    except ValueError:
        return response.text


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
