"""Methods and authentication.

Create, change and delete agents with a key, in spite of a lost reply.

It takes about a second:
python lessons/02_methods_and_auth.py
python lessons/02_methods_and_auth.py --name ""     the server refuses the name

The key comes from the environment variable AGENTS_API_KEY; without it, the mock
server's own is taken. Set it to something else, and the server refuses the key.

Sample run:

    Talking to: the mock server on this machine (127.0.0.1)
    without key: 401
    with key:    200
    created:     {'id': 1, 'name': 'Ada', 'status': 'active'} in spite of a lost reply
    PUT:         {'id': 1, 'name': 'Ada', 'status': 'paused'}
    PATCH:       {'id': 1, 'name': 'Ada', 'status': 'retired'}
    refused:     302 sends this POST to /agents
    deleted:     twice, and the second time is not an error

    The server's side:
    n  t(s)  conn  request                        status  fault        end
    1  0.00  #1    GET /data                      401     -            complete
    2  0.00  #2    GET /data                      200     -            complete
    3  0.00  #3    POST /agents                   -       drop("fin")  fin
    4  0.01  #4    GET /agents                    200     -            complete
    5  0.01  #5    PUT /agents/1                  200     -            complete
    6  0.01  #6    PATCH /agents/1                200     -            complete
    7  0.01  #7    POST /redirect-to?url=/agents  302     -            complete
    8  0.01  #8    DELETE /agents/1               204     -            complete
    9  0.01  #9    DELETE /agents/1               404     -            complete
"""

import argparse
import os
import sys
from typing import Any

import requests
from endpoint import bypass_proxy_for_loopback, run_main
from mock_server import MockServer, fault
from requests.exceptions import ChunkedEncodingError

TIMEOUT = 5.0  # seconds
NO_REPLY = (requests.ConnectionError, requests.Timeout, ChunkedEncodingError)


def read_key(name: str) -> str:
    """Return the API key that the environment variable called name holds.

    Raises ValueError if there is none, before any request is sent.
    """
    key = os.environ.get(name, "").strip()  # a copied key may end in a line break
    if not key:
        raise ValueError(f"no API key: set {name} in the environment or in .env")
    return key


def send_with_key(method: str, url: str, key: str, **options: Any) -> requests.Response:
    """Send one request with a bearer token, and follow no redirect with it.

    Raises RuntimeError if the reply is a redirect (RFC 9110, section 15.4).
    """
    response = requests.request(
        method,
        url,
        headers={"Authorization": f"Bearer {key}"},
        allow_redirects=False,
        timeout=TIMEOUT,
        **options,
    )
    if response.is_redirect:
        target = response.headers["Location"].partition("?")[0]  # a query may be secret
        raise RuntimeError(f"{response.status_code} sends this {method} to {target}")
    return response


def create_once(url: str, key: str, name: str) -> dict[str, Any]:
    """Create an agent; after a lost reply, look for it before creating it again.

    Right only where a name belongs to one agent (RFC 9110, section 9.2.2).
    Raises requests.HTTPError if the server refuses.
    """
    try:
        response = send_with_key("POST", url, key, json={"name": name})
    except NO_REPLY:
        looked = send_with_key("GET", url, key)
        looked.raise_for_status()
        found = [agent for agent in looked.json() if agent["name"] == name]
        if found:
            return found[0]
        response = send_with_key("POST", url, key, json={"name": name})
    response.raise_for_status()
    return response.json()


def delete_agent(url: str, key: str) -> None:
    """Delete the agent at url; one that is already gone is not an error.

    Raises requests.HTTPError if the server refuses.
    """
    response = send_with_key("DELETE", url, key)
    if response.status_code != 404:
        response.raise_for_status()


def manage(server: MockServer, name: str) -> None:
    """Lead one agent from its creation to its end, past a lost reply and a redirect."""
    key = read_key("AGENTS_API_KEY")
    agents, data = f"{server.url}/agents", f"{server.url}/data"
    print("without key:", requests.get(data, timeout=TIMEOUT).status_code)
    print("with key:   ", send_with_key("GET", data, key).status_code)

    server.script(fault.drop("fin"))
    agent = create_once(agents, key, name)
    print("created:    ", agent, "in spite of a lost reply")

    address = f"{agents}/{agent['id']}"
    paused = {"name": name, "status": "paused"}
    print("PUT:        ", send_with_key("PUT", address, key, json=paused).json())
    retired = {"status": "retired"}
    print("PATCH:      ", send_with_key("PATCH", address, key, json=retired).json())

    try:
        send_with_key("POST", f"{server.url}/redirect-to?url=/agents", key, json=paused)
    except RuntimeError as error:
        print("refused:    ", error)

    delete_agent(address, key)
    delete_agent(address, key)
    print("deleted:     twice, and the second time is not an error")


def main() -> None:
    """Read the command line and run the lesson."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--name", default="Ada", help="of the agent (%(default)s)")
    name = parser.parse_args().name

    bypass_proxy_for_loopback()
    print("Talking to: the mock server on this machine (127.0.0.1)")
    with MockServer() as server:
        os.environ.setdefault("AGENTS_API_KEY", server.api_key)
        try:
            manage(server, name)
        except ValueError as error:
            sys.exit(str(error))
        except requests.HTTPError as error:
            refusal = error.response
            sys.exit(f"{refusal.status_code}: {refusal.json()['message']}")
        print("\nThe server's side:")
        server.show()


if __name__ == "__main__":
    run_main(main)
