"""urllib follows the redirect of a GET and takes the token along, to whatever server that is.

Rejected by: test_redirect_to_another_service
Keeps: 19 points
"""

import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen


class AgentsAPI:
    def __init__(self, base_url, token):
        if not token:
            raise ValueError("no token")
        self.url = base_url + "/agents"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
        }

    def _send(self, method, path="", body=None):
        data = json.dumps(body).encode() if body else None
        try:
            with urlopen(
                Request(self.url + path, data, self._headers, method=method), timeout=10
            ) as reply:
                text = reply.read()
        except HTTPError as error:
            text = error.read().decode()
            if error.code in (401, 403):
                raise PermissionError(text) from error
            if error.code == 404 and path:
                raise LookupError(text) from error
            if error.code == 422:
                raise ValueError(json.loads(text)["message"]) from error
            raise
        return json.loads(text) if text else None

    def create(self, name, status="active"):
        made = self._send("POST", body={"name": name, "status": status})
        if not isinstance(made, dict):
            raise RuntimeError("a redirect led elsewhere")
        return made

    def get(self, agent_id):
        return self._send("GET", f"/{agent_id}")

    def update(self, agent_id, **fields):
        return self._send("PATCH", f"/{agent_id}", fields)

    def list(self):
        return self._send("GET")

    def delete(self, agent_id):
        try:
            self._send("DELETE", f"/{agent_id}")
        except LookupError:
            pass
