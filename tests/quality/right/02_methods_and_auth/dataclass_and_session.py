"""With requests: a dataclass that hides the token, and a Session that trusts nothing in
the environment.
"""

from contextlib import suppress
from dataclasses import dataclass, field

import requests


@dataclass
class AgentsAPI:
    base_url: str
    token: str = field(repr=False)

    def __post_init__(self):
        self.token = (self.token or "").strip()
        if not self.token:
            raise ValueError("no token")
        if not all("!" <= letter <= "~" for letter in self.token):
            raise ValueError("not every character of the token can be in a header")
        self.base_url = self.base_url.removesuffix("/")
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy, and no login from ~/.netrc
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    def _send(self, method, path, **options):
        response = self.session.request(
            method,
            self.base_url + path,
            timeout=(3.05, 30),
            allow_redirects=False,
            **options,
        )
        if response.is_redirect:
            raise RuntimeError(f"{response.status_code} leads elsewhere")
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            if response.status_code in (401, 403):
                raise PermissionError(str(error)) from error
            if response.status_code == 404 and path != "/agents":
                raise LookupError(str(error)) from error
            if response.status_code == 422:
                said = response.text.replace(self.token, "[hidden]")
                raise ValueError(said) from error
            raise
        return response

    def create(self, name, status="active"):
        body = {"name": name, "status": status}
        return self._send("POST", "/agents", json=body).json()

    def get(self, agent_id):
        return self._send("GET", f"/agents/{agent_id}").json()

    def update(self, agent_id, **fields):
        return self._send("PATCH", f"/agents/{agent_id}", json=fields).json()

    def list(self):
        return self._send("GET", "/agents").json()

    def delete(self, agent_id):
        with suppress(LookupError):
            self._send("DELETE", f"/agents/{agent_id}")
