"""With urllib3, the library below requests, which by itself asks a silent server four
times.
"""

from urllib.parse import urljoin

import requests
import urllib3
from requests.utils import parse_header_links

POOL = urllib3.PoolManager()


def ask(url, params=None, timeout=10.0):
    reply = POOL.request(
        "GET",
        url,
        fields=params,
        timeout=urllib3.Timeout(connect=timeout, read=timeout),
    )
    if not 200 <= reply.status < 300:
        raise requests.HTTPError(f"HTTP {reply.status} from {url}")
    try:
        return reply.json(), reply.headers
    except ValueError as error:
        start = reply.data[:64].decode(errors="replace")
        raise ValueError(
            f"{reply.headers.get('content-type')} in place of JSON: {start}"
        ) from error


def get_json(url, params=None, timeout=10.0):
    return ask(url, params, timeout)[0]


def fetch_all(url, params=None):
    everything, visited = [], {url}
    page, headers = ask(url, params)
    while True:
        items = page.get("items") if isinstance(page, dict) else page
        if type(items) is not list:
            raise ValueError(f"{url}: a list was expected, not {items}")
        everything.extend(items)
        rels = {
            link["rel"]: link["url"]
            for link in parse_header_links(headers.get("Link", ""))
        }
        if "next" not in rels:
            return everything
        url = urljoin(url, rels["next"])
        if url in visited:
            raise ValueError(f"{url} was visited already")
        visited.add(url)
        page, headers = ask(url)
