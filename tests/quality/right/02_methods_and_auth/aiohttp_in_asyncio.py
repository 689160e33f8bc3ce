"""With aiohttp: each method runs a coroutine to its end; a closure keeps the token."""

import asyncio
from contextlib import suppress

import aiohttp


class AgentsAPI:
    def __init__(self, base_url, token):
        if not token:
            raise ValueError("no token")

        async def send(method, path, body):
            headers = {"Authorization": f"Bearer {token}"}
            async with (
                aiohttp.ClientSession(base_url, headers=headers) as session,
                session.request(
                    method, path, json=body, allow_redirects=False
                ) as response,
            ):
                text = await response.text()
                if response.status in (401, 403):
                    raise PermissionError(text)
                if response.status == 404 and path != "/agents":
                    raise IndexError(text)  # a LookupError
                if response.status == 422:
                    raise ValueError((await response.json())["message"])
                if response.status >= 300:
                    raise ConnectionError(f"{response.status}: {text}")
                return await response.json() if text else None

        self.send = lambda method, path, body=None: asyncio.run(
            send(method, path, body)
        )

    def create(self, name, status="active"):
        return self.send("POST", "/agents", {"name": name, "status": status})

    def get(self, agent_id):
        return self.send("GET", f"/agents/{agent_id}")

    def update(self, agent_id, **fields):
        return self.send("PATCH", f"/agents/{agent_id}", fields)

    def list(self):
        return self.send("GET", "/agents")

    def delete(self, agent_id):
        with suppress(LookupError):
            self.send("DELETE", f"/agents/{agent_id}")
