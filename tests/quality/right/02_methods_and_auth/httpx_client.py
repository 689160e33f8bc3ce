"""With httpx: one client, an auth class of its own, and match in place of if."""

import httpx


class Bearer(httpx.Auth):
    def __init__(self, token):
        self._token = token

    def auth_flow(self, request):
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class AgentsAPI:
    def __init__(self, base_url, token):
        token = str(token or "").strip()
        if not token:
            raise ValueError("no token")
        if not token.isascii() or not token.isprintable():
            raise ValueError("a token is one line of ASCII")
        self._token = token
        self.client = httpx.Client(base_url=base_url, auth=Bearer(token), timeout=5.0)

    def check(self, response, is_one=True):
        match response.status_code:
            case 401 | 403:
                raise PermissionError(f"the server said {response.status_code}")
            case 404 if is_one:
                raise LookupError("there is no such agent")
            case 422:
                said = response.text.replace(self._token, "<token>")
                raise ValueError(f"refused: {said}")
        response.raise_for_status()  # httpx counts a redirect as an error too
        return response.json()

    def create(self, name, status="active"):
        body = {"name": name, "status": status}
        return self.check(self.client.post("/agents", json=body), is_one=False)

    def get(self, agent_id):
        return self.check(self.client.get(f"/agents/{agent_id}"))

    def update(self, agent_id, **fields):
        return self.check(self.client.patch(f"/agents/{agent_id}", json=fields))

    def list(self):
        return self.check(self.client.get("/agents"), is_one=False)

    def delete(self, agent_id):
        response = self.client.delete(f"/agents/{agent_id}")
        if response.status_code not in (204, 404):
            self.check(response)
