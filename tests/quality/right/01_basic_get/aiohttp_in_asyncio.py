"""With aiohttp under asyncio.run: its limit of 5 minutes for the whole call is off, and
silence has one.
"""

import asyncio
import json

import aiohttp
import requests


async def fetch(url, params, seconds):
    limit = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.get(url, params=params) as response,
    ):
        body = await response.read()
        if response.status >= 400:
            raise requests.HTTPError(f"{response.status} {response.reason}")
        try:
            value = json.loads(body)
        except ValueError as error:
            raise ValueError(f"{response.content_type}: {body[:50]!r}") from error
        following = response.links.get("next")
        return value, following and following["url"]


def get_json(url, params=None, timeout=10.0):
    return asyncio.run(fetch(url, params, timeout))[0]


def fetch_all(url, params=None):
    async def everything():
        items, address, query = [], url, params
        while address:
            page, address = await fetch(address, query, 10)
            items += page if isinstance(page, list) else page["items"]
            query = None
        return items

    return asyncio.run(everything())
