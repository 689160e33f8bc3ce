"""With requests, whose adapter repeats after a 5xx what may be repeated: GET and
DELETE; an auth class signs each request.
"""

from contextlib import suppress

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import Retry

POLICY = Retry(
    total=2,
    backoff_factor=0.05,
    status_forcelist=[500, 502, 503, 504],
    allowed_methods=["GET", "DELETE"],
    raise_on_status=False,
)


class Token(AuthBase):
    def __init__(self, text):
        self.text = text.strip()
        if not self.text or max(self.text) > "~" or min(self.text) < "!":
            raise ValueError("there is no token, or one that cannot be sent")

    def __call__(self, request):
        request.headers["Authorization"] = "Bearer " + self.text
        return request


class AgentsAPI:
    def __init__(self, base_url, token):
        self.url = base_url.strip("/") + "/agents"
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(max_retries=POLICY))
        self._session.auth = Token(token or "")

    def _send(self, method, path="", body=None):
        response = self._session.request(
            method, self.url + path, json=body, timeout=10, allow_redirects=False
        )
        status = response.status_code
        if 200 <= status < 300:
            return response
        said = response.text.replace(self._session.auth.text, "…")
        if status in (401, 403):
            raise PermissionError(said)
        if status == 404 and path:
            raise LookupError(f"there is nothing at {path}")
        if status == 422:
            raise ValueError(said)
        raise requests.HTTPError(f"{status} {response.reason}", response=response)

    def create(self, name, status="active"):
        return self._send("POST", body={"name": name, "status": status}).json()

    def get(self, agent_id):
        return self._send("GET", f"/{agent_id}").json()

    def update(self, agent_id, **fields):
        return self._send("PATCH", f"/{agent_id}", fields).json()

    def list(self):
        return self._send("GET").json()

    def delete(self, agent_id):
        with suppress(LookupError):
            self._send("DELETE", f"/{agent_id}")
