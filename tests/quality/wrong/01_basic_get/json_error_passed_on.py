"""What .json() raises is a ValueError, so it is left as it is: nobody learns what came instead.

Rejected by: test_html_page_with_200, test_damaged_json, test_long_page
Keeps: 16 points
"""

import requests


def parse(response):
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
