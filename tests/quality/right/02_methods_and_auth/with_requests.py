"""requests, and one method that sends and looks at the status."""

import requests


class AgentsAPI:
    def __init__(self, base_url, token):
        token = (token or "").strip()
        if not token:
            raise ValueError("no token")
        if not token.isascii() or not token.isprintable():
            raise ValueError("this token cannot be sent")
        self.url = base_url.rstrip("/") + "/agents"
        self._token = token
        self._headers = {"Authorization": f"Bearer {token}"}

    def _sign(self, request):  # where headers are given, ~/.netrc would win
        request.headers.update(self._headers)
        return request

    def _message_of(self, response):
        try:
            message = response.json()["message"]
        except (ValueError, LookupError, TypeError):
            message = response.text
        return message.replace(self._token, "***")[:200]

    def _send(self, method, path="", body=None):
        response = requests.request(
            method,
            self.url + path,
            json=body,
            auth=self._sign,
            timeout=10,
            allow_redirects=False,
        )
        status = response.status_code
        if status in (401, 403):
            raise PermissionError(self._message_of(response))
        if status == 404 and path:
            raise LookupError(f"there is nothing at {path}")
        if status == 422:
            raise ValueError(self._message_of(response))
        if not 200 <= status < 300:
            raise requests.HTTPError(f"status {status}", response=response)
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
