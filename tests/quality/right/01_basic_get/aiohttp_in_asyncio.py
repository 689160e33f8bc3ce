"""With aiohttp under asyncio.run: its limit of 5 minutes for the whole call is off, and
silence has one.
"""

import asyncio
import json

import aiohttp
import requests


def open_session(seconds):
    limit = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    return aiohttp.ClientSession(timeout=limit)


async def fetch(session, url, params):
    async with session.get(url, params=params) as response:
        body = await response.read()
        if response.status >= 400:
            raise requests.HTTPError(f"{response.status} {response.reason}")
        try:
            value = json.loads(body)
        except ValueError as error:
            raise ValueError(f"{response.content_type}: {body[:50]!r}") from error
        following = response.links.get("next")
        return value, following and following["url"]  # a full address by now


def get_json(url, params=None, timeout=10.0):
    async def one():
        async with open_session(timeout) as session:
            return (await fetch(session, url, params))[0]

    return asyncio.run(one())


def fetch_all(url, params=None):
    async def everything():
        items, address, query, visited = [], url, params, []
        async with open_session(10) as session:
            while address:
                page, following = await fetch(session, address, query)
                match page:
                    case [*found] | {"items": [*found]}:
                        items += found
                    case _:
                        raise ValueError(f"{address} is no page of a list")
                visited.append(str(address))
                if following and str(following) in visited:
                    raise ValueError(f"{address} leads back to {following}")
                address, query = following, None
        return items

    return asyncio.run(everything())
