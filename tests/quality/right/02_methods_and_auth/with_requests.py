"""requests, and one method that sends and looks at the status."""

import requests


class AgentsAPI:
    def __init__(self, base_url, token):
        if not token:
            raise ValueError("no token")
        self.url = base_url + "/agents"
        self._headers = {"Authorization": f"Bearer {token}"}

    def _send(self, method, path="", body=None):
        response = requests.request(
            method,
            self.url + path,
            json=body,
            headers=self._headers,
            timeout=10,
            allow_redirects=False,
        )
        status = response.status_code
        if status in (401, 403):
            raise PermissionError(response.text)
        if status == 404 and path:
            raise LookupError(f"there is nothing at {path}")
        if status == 422:
            raise ValueError(response.json()["message"])
        response.raise_for_status()
        return response

    def create(self, name, status="active"):
        return self._send("POST", body={"name": name, "status": status}).json()

    def get(self, agent_id):
        return self._send("GET", f"/{agent_id}").json()

    def update(self, agent_id, **fields):
        return self._send("PATCH", f"/{agent_id}", fields).json()

    def list(self):
        return self._send("GET").json()

    def delete(self, agent_id):
        try:  # noqa: SIM105 - as beginners write it
            self._send("DELETE", f"/{agent_id}")
        except LookupError:
            pass
