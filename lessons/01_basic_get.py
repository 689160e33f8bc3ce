"""A basic GET.

Ask a server with GET: for a user, for every page of a search, and when it is broken.

A page leads to the next one by its Link header. A timeout limits the silence, not the
whole call: the server that drips takes longer, and its answer still arrives.

Run it, in about a second: python lessons/01_basic_get.py
Ask for something else: python lessons/01_basic_get.py --user ada --query "C++ & 中文"

Sample run:

    Talking to: the mock server on this machine (127.0.0.1)

    Python, Organization: 84 repos

    Searching for 'R&D bots'
      page 1 has 20, the first is mock/R&D bots-01
      page 2 has 20, the first is mock/R&D bots-21
      page 3 has  2, the first is mock/R&D bots-41

    A call with timeout=0.3 when
      there is no such user    HTTPError: 404 Not Found
      the server is down       HTTPError: 502 Bad Gateway
      the server hangs         ReadTimeout after 0.30 s
      the server drips         found Python after 0.40 s

    What the server saw of these four:
    n  t(s)  conn  request            status  fault         end
    5  0.00  #5    GET /users/nobody  404     -             complete
    6  0.00  #6    GET /users/python  502     html(502)     complete
    7  0.00  #7    GET /users/python  -       hang()        client-gone
    8  0.30  #8    GET /users/python  200     drip(4, 0.1)  complete
"""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import requests
from endpoint import bypass_proxy_for_loopback, run_main
from mock_server import MockServer, fault


def get_user(base_url: str, name: str, timeout: float = 10.0) -> dict[str, Any]:
    """Return what the server knows about a user.

    timeout: seconds of silence to put up with.
    Raises requests.HTTPError for a 4xx or 5xx status, requests.Timeout for the silence.
    """
    url = f"{base_url}/users/{quote(name, safe='')}"
    response = requests.get(url, timeout=timeout)
    response.raise_for_status()
    return response.json()


def search_pages(base_url: str, query: str, per_page: int) -> Iterator[list[str]]:
    """Yield the names of the repositories that a search finds, page by page.

    Raises requests.HTTPError for a 4xx or 5xx status.
    """
    url = f"{base_url}/search/repositories"
    params: dict[str, Any] | None = {"q": query, "per_page": per_page}
    while url:
        response = requests.get(url, params=params, timeout=10)
        response.raise_for_status()
        yield [item["full_name"] for item in response.json()["items"]]
        url = response.links.get("next", {}).get("url")
        params = None  # the address of the next page has them already


def try_user(base_url: str, name: str, timeout: float) -> str:
    """Ask for a user and return in a few words what happened, with the seconds."""
    start = time.perf_counter()
    try:
        user = get_user(base_url, name, timeout)
    except requests.HTTPError as error:
        return f"HTTPError: {error.response.status_code} {error.response.reason}"
    except requests.Timeout as error:
        outcome = type(error).__name__
    else:
        outcome = f"found {user['name']}"
    return f"{outcome} after {time.perf_counter() - start:.2f} s"


def show_trouble(server: MockServer) -> None:
    """Meet four kinds of trouble with one function, and print the server's side."""
    four_pieces = fault.drip(4, 0.1)  # with 0.1 s before each
    troubles = [
        ("there is no such user", "nobody", fault.ok()),
        ("the server is down", "python", fault.html(502)),
        ("the server hangs", "python", fault.hang()),
        ("the server drips", "python", four_pieces),
    ]
    print("A call with timeout=0.3 when")
    for label, name, trouble in troubles:
        server.script(trouble)
        print(f"  {label:<23}  {try_user(server.url, name, timeout=0.3)}")
    print("\nWhat the server saw of these four:")
    server.show(last=len(troubles))


def main() -> None:
    """Read the command line, then ask for the user, for the pages, and for trouble."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--user", default="python", help="default: %(default)s")
    parser.add_argument("--query", default="R&D bots", help="default: %(default)s")
    parser.add_argument("--per-page", type=int, default=20, help="default: %(default)s")
    args = parser.parse_args()

    bypass_proxy_for_loopback()
    with MockServer() as server:
        print("Talking to: the mock server on this machine (127.0.0.1)\n")
        try:
            user = get_user(server.url, args.user)
            print(f"{user['name']}, {user['type']}: {user['public_repos']} repos\n")
            print(f"Searching for {args.query!r}")
            pages = search_pages(server.url, args.query, args.per_page)
            for number, names in enumerate(pages, start=1):
                print(f"  page {number} has {len(names):>2}, the first is {names[0]}")
        except requests.HTTPError as error:
            sys.exit(f"The server refused: {error.response.json()['message']}")
        print()
        show_trouble(server)


if __name__ == "__main__":
    run_main(main)
