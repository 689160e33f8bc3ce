"""With http.client: a connection for each call, and a table of which status is which
exception.
"""

import http.client
import json
from urllib.parse import urlsplit

EXCEPTIONS = {
    401: PermissionError,
    403: PermissionError,
    404: LookupError,
    422: ValueError,
}


class AgentsAPI:
    def __init__(self, base_url, token):
        if not token:
            raise ValueError("no token")
        self._host = urlsplit(base_url).netloc
        self.__token = token

    def _call(self, method, path, fields=None):
        headers = {
            "Authorization": "Bearer " + self.__token,
            "Content-Type": "application/json",
        }
        connection = http.client.HTTPConnection(self._host, timeout=10)
        try:
            connection.request(
                method, path, json.dumps(fields) if fields else None, headers
            )
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        if 200 <= reply.status <= 299:
            return json.loads(body) if body else None
        if path == "/agents" and reply.status == 404:
            raise RuntimeError(f"there is nothing at {path}")
        raise EXCEPTIONS.get(reply.status, RuntimeError)(
            f"{reply.status}: {body.decode()}"
        )

    def create(self, name, status="active"):
        return self._call("POST", "/agents", {"name": name, "status": status})

    def get(self, agent_id):
        return self._call("GET", f"/agents/{agent_id}")

    def update(self, agent_id, **fields):
        return self._call("PATCH", f"/agents/{agent_id}", fields)

    def list(self):
        return self._call("GET", "/agents")

    def delete(self, agent_id):
        try:
            self._call("DELETE", f"/agents/{agent_id}")
        except LookupError:
            return
