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
        if not token or not token.strip():
            raise ValueError("no token")
        self.__token = token.strip()
        if not self.__token.isascii() or "\n" in self.__token:
            raise ValueError("the token is damaged")
        self._host = urlsplit(base_url).netloc
        self._path = urlsplit(base_url).path.rstrip("/") + "/agents"

    def _call(self, method, number="", **body):
        headers = {
            "Authorization": "Bearer " + self.__token,
            "Content-Type": "application/json",
        }
        path = f"{self._path}/{number}" if number else self._path
        data = json.dumps(body) if method in ("POST", "PATCH") else None
        connection = http.client.HTTPConnection(self._host, timeout=10)
        try:
            connection.request(method, path, data, headers)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        if 200 <= reply.status <= 299:
            return text
        if not number and reply.status == 404:
            raise RuntimeError(f"there is nothing at {path}")
        text = text.replace(self.__token, "?")
        raise EXCEPTIONS.get(reply.status, RuntimeError)(f"{reply.status}: {text}")

    def create(self, name, status="active"):
        return json.loads(self._call("POST", name=name, status=status))

    def get(self, agent_id):
        return json.loads(self._call("GET", agent_id))

    def update(self, agent_id, **fields):
        return json.loads(self._call("PATCH", agent_id, **fields))

    def list(self):
        return json.loads(self._call("GET"))

    def delete(self, agent_id):
        try:
            self._call("DELETE", agent_id)
        except LookupError:
            return
