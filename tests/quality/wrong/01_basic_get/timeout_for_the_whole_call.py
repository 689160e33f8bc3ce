"""The timeout is a limit for the whole call, so a slow reply that keeps coming is given up.

Rejected by: test_timeout
Keeps: 18 points
"""

import asyncio
import json

import aiohttp
import requests


async def fetch(url, params, seconds):
    limit = aiohttp.ClientTimeout(total=seconds)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.get(url, params=params) as response,
    ):
        text = await response.text()
        if response.status >= 400:
            raise requests.HTTPError(f"{response.status} {response.reason}")
        try:
            following = response.links.get("next", {}).get("url")
            return json.loads(text), following
        except ValueError as error:
            raise ValueError(
                f"no JSON but {response.content_type}: {text[:60]}"
            ) from error


def get_json(url, params=None, timeout=10.0):
    return asyncio.run(fetch(url, params, timeout))[0]


def fetch_all(url, params=None):
    items = []
    while url:
        page, url = asyncio.run(fetch(url, params, 10))
        items += page["items"] if isinstance(page, dict) else page
        params = None
    return items
