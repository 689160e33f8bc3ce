"""Exercise 02: create, read, change and delete agents, and keep the token secret."""

from typing import Any


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
        # TODO 1
        raise NotImplementedError("02_methods_and_auth: write AgentsAPI.__init__")

    # TODO 2

    def create(self, name: str, status: str = "active") -> dict[str, Any]:
        """Create an agent, and return it with the id that the server gave it.

        Send one POST only: after a lost reply or a 5xx the agent may exist, and a
        second POST could make it twice. Names may repeat, so looking for the name in
        the list doesn't help: let the error out.
        """
        raise NotImplementedError("02_methods_and_auth: write create")

    def get(self, agent_id: int) -> dict[str, Any]:
        """Return one agent. Raises LookupError if there is none with this id."""
        raise NotImplementedError("02_methods_and_auth: write get")

    def update(self, agent_id: int, **fields: Any) -> dict[str, Any]:
        """Change only these fields; return the agent. LookupError if it is missing."""
        raise NotImplementedError("02_methods_and_auth: write update")

    def delete(self, agent_id: int) -> None:
        """Delete an agent; one that is already gone is not an error."""
        raise NotImplementedError("02_methods_and_auth: write delete")

    def list(self) -> "list[dict[str, Any]]":
        """Return all agents, as a list."""
        raise NotImplementedError("02_methods_and_auth: write list")

    # TODO 3, further, if you like: the list at the end of the docstring of the class.
