"""Solution 02: a client for agents, with a token that goes nowhere else.

Sources: RFC 9110, sections 9.2.2 (what may be repeated) and 15 (status codes);
RFC 6750 (bearer tokens).
"""

from contextlib import suppress
from typing import Any

import requests
from requests.auth import AuthBase

TIMEOUT = 30.0  # seconds to connect, and of silence


class AgentsAPI:
    """The agents of a service: {"id": 1, "name": "Ada", "status": "active"}.

    base_url: such as http://127.0.0.1:8000; the agents are at /agents below it.
    token: sent as a bearer token with every request to this service, and to no other.
        Spaces and line breaks around it are removed. If nothing is left, or it is None,
        __init__ raises ValueError. No address, repr, error or output shows the token,
        or a part of it.

    Every request has a timeout. No redirect is followed. Every method raises:
    - PermissionError for a 401 or 403.
    - ValueError with the server's message for a 422.
    - requests.HTTPError, or your library's own error for it, for any other refusal: a
      400, a 429 (too many requests), a 5xx, a redirect, a 404 where no id was sent.
    - an error of any kind if a web page comes in place of an agent.

    Further, if you like:
    - base_url may have a path, such as http://127.0.0.1:8000/team, and end in a slash.
    - A token that no header can carry, with a line break or 中 inside, is a ValueError
      when the client is made.
    - A login in ~/.netrc never takes the place of the token.
    - No error shows the token, even if a reply repeats it. If you raise your error from
      one of your library, that one has no token in it.
    - A 422 without a message is a ValueError that shows the start of the body.
    - Send what you are given: None and "" too, and an update without any field.
    """

    def __init__(self, base_url: str, token: str) -> None:
        token = (token or "").strip()  # a copied token may end in a line break
        if not token:
            raise ValueError("no token: pass the one that the service gave you")
        if not token.isascii() or not token.isprintable():
            raise ValueError("the token has a character that no header can carry")
        self.base_url = base_url.rstrip("/")
        self._session = requests.Session()
        self._session.auth = _BearerAuth(token)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, token=...)"

    def create(self, name: str, status: str = "active") -> dict[str, Any]:
        """Create an agent, and return it with the id that the server gave it.

        Send one POST only: after a lost reply or a 5xx the agent may exist, and a
        second POST could make it twice. Names may repeat, so looking for the name in
        the list doesn't help: let the error out.
        """
        return self._send("POST", "/agents", {"name": name, "status": status}).json()

    def get(self, agent_id: int) -> dict[str, Any]:
        """Return one agent. Raises LookupError if there is none with this id."""
        return self._send("GET", f"/agents/{agent_id:d}").json()

    def update(self, agent_id: int, **fields: Any) -> dict[str, Any]:
        """Change only these fields; return the agent. LookupError if it is missing."""
        return self._send("PATCH", f"/agents/{agent_id:d}", fields).json()

    # The type is in quotes, because in this class `list` is the method.
    def list(self) -> "list[dict[str, Any]]":
        """Return all agents, as a list."""
        return self._send("GET", "/agents").json()

    def delete(self, agent_id: int) -> None:
        """Delete an agent; one that is already gone is not an error."""
        with suppress(LookupError):  # DELETE is idempotent: twice is as good as once
            self._send("DELETE", f"/agents/{agent_id:d}")

    def _send(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Send a request and return its reply, or raise what its status stands for.

        A redirect is refused: it could make a GET of a POST, and lead to anybody.
        The server's words may repeat the token, so … stands for it in the error.
        """
        response = self._session.request(
            method,
            self.base_url + path,
            json=body,
            timeout=TIMEOUT,
            allow_redirects=False,
        )
        status = response.status_code
        if status // 100 == 2:
            return response
        message = f"{method} {path}: {status} {_explanation(response)}"
        message = message.replace(self._session.auth.token, "…")[:500]
        if status in (401, 403):
            raise PermissionError(message)
        if status == 404 and path != "/agents":  # there, it is no agent that is missing
            raise LookupError(message)
        if status == 422:
            raise ValueError(message)
        raise requests.HTTPError(message, response=response)


class _BearerAuth(AuthBase):
    """Puts a token on each request; where only headers are set, ~/.netrc would win."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _explanation(response: requests.Response) -> str:
    """Return what the server says about its refusal."""
    try:
        return str(response.json()["message"])
    except (ValueError, LookupError, TypeError):
        return f"{response.reason}: {response.text}"
