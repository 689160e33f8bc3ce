"""With http.client, a level lower: a connection, a path, a reply; urllib.parse writes
the query.
"""

import http.client
import json
from urllib.parse import urlencode, urljoin, urlsplit

import requests


def get(url, params, timeout):
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, urlencode(params or {})]))
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request(
            "GET",
            parts.path + (f"?{query}" if query else ""),
            headers={"Accept": "application/json"},
        )
        reply = connection.getresponse()
        body = reply.read()
    finally:
        connection.close()
    if reply.status >= 400:
        raise requests.exceptions.HTTPError(f"{reply.status} {reply.reason}")
    return reply, body


def parse(reply, body):
    try:
        return json.loads(body)
    except ValueError as error:
        kind = reply.getheader("Content-Type", "nothing named")
        raise ValueError(
            f"expected JSON, got {kind}, which begins "
            f"{body[:30].decode('utf-8', 'replace')}"
        ) from error


def get_json(url, params=None, timeout=10.0):
    return parse(*get(url, params, timeout))


def fetch_all(url, params=None):
    items, queue, known = [], [url], {url}
    for address in queue:  # which grows meanwhile
        reply, body = get(address, params, 10.0)
        page, params = parse(reply, body), None
        if isinstance(page, dict):
            page = page.get("items")
        if not isinstance(page, list):
            raise ValueError(f"{address} has no list of items")
        items.extend(page)
        for link in requests.utils.parse_header_links(reply.getheader("Link", "")):
            if link.get("rel") == "next":
                following = urljoin(address, link["url"])
                if following in known:
                    raise ValueError(f"{following} was read before")
                known.add(following)
                queue.append(following)
    return items
