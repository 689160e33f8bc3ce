"""With aiohttp: each method runs a coroutine to its end; a closure keeps the token."""

import asyncio
import json
from contextlib import suppress

import aiohttp


class AgentsAPI:
    def __init__(self, base_url, token):
        token = token.strip() if token else ""
        if not token:
            raise ValueError("no token")
        try:
            token.encode("ascii")
        except UnicodeError:
            raise ValueError("a token has ASCII letters only") from None
        if len(token.splitlines()) > 1:
            raise ValueError("a token has one line")
        url = base_url.rstrip("/") + "/agents"

        async def send(method, path, body):
            headers = {"Authorization": f"Bearer {token}"}
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.request(
                    method, url + path, json=body, allow_redirects=False
                ) as response,
            ):
                text = await response.text()
                if response.status >= 300:  # its words may repeat the token
                    text = text.replace(token, "(token)")
                if response.status in (401, 403):
                    raise PermissionError(text)
                if response.status == 404 and path:
                    raise IndexError(text)  # a LookupError
                if response.status == 422:
                    raise ValueError(text)
                if response.status >= 300:
                    raise ConnectionError(f"{response.status}: {text}")
                return text

        self.send = lambda method, path="", body=None: asyncio.run(
            send(method, path, body)
        )

    def create(self, name, status="active"):
        return json.loads(self.send("POST", body={"name": name, "status": status}))

    def get(self, agent_id):
        return json.loads(self.send("GET", f"/{agent_id}"))

    def update(self, agent_id, **fields):
        return json.loads(self.send("PATCH", f"/{agent_id}", fields))

    def list(self):
        return json.loads(self.send("GET"))

    def delete(self, agent_id):
        with suppress(LookupError):
            self.send("DELETE", f"/{agent_id}")
