"""With urllib3, whose redirects are off; update reads the agent and puts the whole of
it.
"""

from contextlib import suppress

import urllib3


class NoSuchAgent(KeyError):
    """There is no agent with this id."""


class AgentsAPI:
    def __init__(self, base_url, token):
        self.__token = (token or "").strip()
        if not self.__token:
            raise ValueError("no token")
        if any(letter not in map(chr, range(33, 127)) for letter in self.__token):
            raise ValueError("a token without blanks, and in ASCII, please")
        self.agents = base_url.rstrip("/") + "/agents"
        self.pool = urllib3.PoolManager(
            timeout=10, retries=urllib3.Retry(3, raise_on_status=False)
        )

    def __repr__(self):
        return f"<AgentsAPI at {self.agents}>"

    def request(self, method, url, **options):
        reply = self.pool.request(
            method,
            url,
            headers={"Authorization": f"Bearer {self.__token}"},
            redirect=False,
            **options,
        )
        if reply.status in (401, 403):
            raise PermissionError(reply.status, reply.reason)
        if reply.status == 404 and url != self.agents:
            raise NoSuchAgent(url)
        if reply.status == 422:
            said = reply.data.decode().replace(self.__token, "")
            raise ValueError("refused: " + said)
        if reply.status >= 300:
            raise OSError(f"{reply.status} {reply.reason}")
        return reply

    def create(self, name, status="active"):
        return self.request(
            "POST", self.agents, json={"name": name, "status": status}
        ).json()

    def get(self, agent_id):
        return self.request("GET", f"{self.agents}/{agent_id}").json()

    def update(self, agent_id, **fields):
        whole = {**self.get(agent_id), **fields}
        return self.request("PUT", f"{self.agents}/{agent_id}", json=whole).json()

    def list(self):
        return self.request("GET", self.agents).json()

    def delete(self, agent_id):
        with suppress(NoSuchAgent):
            self.request("DELETE", f"{self.agents}/{agent_id}")
