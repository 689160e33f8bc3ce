"""With urllib.request: an opener that follows no redirect, and its HTTPError translated
to what is asked for.
"""

import json
import re
from contextlib import suppress
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener


class NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = build_opener(NoRedirects)


class AgentsAPI:
    def __init__(self, base_url, token):
        found = re.fullmatch(r"\s*([!-~]+)\s*", token or "")
        if not found:
            raise ValueError("no token, or none that can be sent")
        self.url = re.sub("/$", "", base_url) + "/agents"
        self._token = found[1]
        self._headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
        }

    def _send(self, method, path="", body=None):
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, self._headers, method=method)
        try:
            with OPENER.open(request, timeout=10) as reply:
                text = reply.read()
        except HTTPError as error:
            text = error.read().decode().replace(self._token, "TOKEN")
            if error.code in (401, 403):
                raise PermissionError(text) from error
            if error.code == 404 and path:
                raise LookupError(text) from error
            if error.code == 422:
                raise ValueError(text) from error
            raise
        return json.loads(text) if method != "DELETE" else None

    def create(self, name, status="active"):
        return self._send("POST", body={"name": name, "status": status})

    def get(self, agent_id):
        return self._send("GET", f"/{agent_id}")

    def update(self, agent_id, **fields):
        return self._send("PATCH", f"/{agent_id}", fields)

    def list(self):
        return self._send("GET")

    def delete(self, agent_id):
        with suppress(LookupError):
            self._send("DELETE", f"/{agent_id}")
