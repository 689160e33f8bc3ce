"""How fast the mock server is, measured against what it should reach. By hand:

    python -m tests.benchmarks.server

Not a test: other programs on the machine change the figures. The clients are processes
of their own and speak to the server through bare sockets, so that what is measured is
the server. The last two figures are of a server in a process of its own.
"""

import argparse
import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

from mock_server import MockServer, fault
from playwright.sync_api import sync_playwright

from tests.mock_server import wire
from tests.mock_server.terminal import Terminal
from tests.mock_server.test_live_page import BROWSERS, OPTIONS

FIRST = b"GET /get HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
COLD = f"""
import time
started = time.perf_counter()
import socket
from mock_server import MockServer
server = MockServer().start()
with socket.create_connection(("127.0.0.1", server.port)) as connection:
    connection.sendall({FIRST!r})
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
print(time.perf_counter() - started)
server.stop()
"""


def cold_start() -> float:
    """Return the seconds from the import to the first reply in a fresh Python, the best
    of five.
    """
    return min(
        float(subprocess.check_output([sys.executable, "-c", COLD])) for _ in range(5)
    )


def warm_start() -> float:
    """Return the seconds from the start to the first reply when everything is imported,
    the median of 25.
    """
    times = []
    for _ in range(25):
        started = time.perf_counter()
        with MockServer() as server, wire.connect(server) as connection:
            connection.sendall(FIRST)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def watch(server: MockServer) -> threading.Thread:
    """Read what the live page reads, until the server stops; return the thread."""
    connection = wire.connect(server, 60)
    connection.sendall(wire.request("GET /_mock/events"))
    reader = threading.Thread(target=wire.read_to_end, args=(connection,))
    reader.start()
    return reader


def stop_with_hung_clients(count: int = 200) -> float:
    """Return the seconds that it takes to stop while the live page is open and so many
    clients wait for a reply; no thread may be left.
    """
    before = threading.active_count()
    server = MockServer().start()
    server.on().reply(fault.hang())
    page = watch(server)
    clients = [wire.connect(server) for _ in range(count)]
    for client in clients:
        client.sendall(FIRST)
    while len(server.records) < count:
        time.sleep(0.01)
    started = time.perf_counter()
    server.stop()
    seconds = time.perf_counter() - started
    page.join()
    assert threading.active_count() == before, "a thread is left"
    for client in clients:
        client.close()
    return seconds


# --- replies a second -----------------------------------------------------------------

SECONDS, CONNECTIONS, CLIENTS = 3.0, 16, 2
WORDS = 18  # with the role, the finish_reason and [DONE] these make 21 events


class Client(asyncio.Protocol):
    """Sends a request, and the next one as soon as the reply has ended."""

    done = 0

    def __init__(self, data: bytes) -> None:
        self.data, self.received, self.size = data, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport
        transport.write(self.data)

    def data_received(self, data: bytes) -> None:
        """Count the reply if this is its end: the last chunk, or as many bytes as the
        first reply had.
        """
        self.received += data
        if (
            not self.size
            and b"\r\n\r\n" in self.received
            and b"Content-Length" in self.received
        ):
            status, headers, _ = wire.split_head(self.received)
            assert status == 200
            self.size = (
                self.received.index(b"\r\n\r\n") + 4 + int(headers["content-length"])
            )
        if len(self.received) == self.size or (
            not self.size and self.received.endswith(b"\r\n0\r\n\r\n")
        ):
            Client.done += 1
            self.received = b""
            self.transport.write(self.data)


async def send_for_a_while(port: int, data: bytes) -> int:
    """Send a request over and over on several connections; return how often it was
    answered.
    """
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Client(data), "127.0.0.1", port)
    await asyncio.sleep(SECONDS)
    return Client.done


def rate(data: bytes, is_watched: bool = False) -> float:
    """Return how many times a second the server answers a request, with two processes
    of clients; is_watched: while the live page is open.
    """
    with MockServer() as server:
        if is_watched:
            watch(server)
        server.on(model="mock-small").reply(text="word " * WORDS)
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.server",
            "--client",
            str(server.port),
            data.decode("latin-1"),
        ]
        clients = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            for _ in range(CLIENTS)
        ]
        return sum(int(client.communicate()[0]) for client in clients) / SECONDS


# --- one client beside another, and memory --------------------------------------------


def beside_a_long_stream(words: int = 100_000) -> float:
    """Return the longest time, in seconds, that a client waits for a plain reply while
    another one is sent a stream of so many words.
    """
    longest = 0.0
    body = {"model": "mock-small", "messages": [], "stream": True}
    body["messages"] = [{"role": "user", "content": "x"}]
    line, key = "POST /v1/chat/completions", "Authorization: Bearer some-key-or-other"
    ask = wire.request(line, key, body=json.dumps(body).encode())
    server = Terminal("--key", "some-key-or-other")
    rule = json.dumps({"text": "word " * words}).encode()
    with wire.connect(server, 60) as long, wire.connect(server, 60) as short:
        reader = threading.Thread(target=read_stream, args=(long,))
        short.sendall(wire.request("POST /_mock/rules", body=rule))
        short.recv(65536)
        long.sendall(ask)
        reader.start()
        while reader.is_alive():
            started = time.perf_counter()
            short.sendall(wire.request("GET /users/python"))
            short.recv(65536)
            longest = max(longest, time.perf_counter() - started)
    server.stop()
    return longest


def read_stream(connection: socket.socket) -> None:
    """Read up to the end of a chunked body."""
    tail = b""
    while not tail.endswith(b"\r\n0\r\n\r\n"):
        tail = tail[-7:] + connection.recv(2**20)


def memory(count: int = 20_000) -> float:
    """Return the MiB that a server takes at most for so many requests with bodies of
    64 KiB; only Linux tells it of a process.
    """
    server = Terminal()
    data = wire.request("POST /status/204", body=b"x" * 65536)
    with wire.connect(server, 60) as connection:
        for _ in range(count):
            connection.sendall(data)
            connection.recv(65536)
    with open(f"/proc/{server.process.pid}/status") as status:
        [peak] = [line.split()[1] for line in status if line.startswith("VmHWM")]
    server.stop()
    return int(peak) / 1024


def drawing(count: int = 1000) -> tuple[float, float]:
    """Return the seconds from the end of the last of so many requests to its row on the
    live page, and how often a second the page was drawn until then.
    """
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        return 0.0, 0.0
    with MockServer() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found[0], args=list(OPTIONS)
        )
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_selector("#state:text('live')")
        draws, started = page.evaluate("draws"), time.perf_counter()
        with wire.connect(server) as connection:
            for _ in range(count):
                connection.sendall(wire.request("GET /users/python"))
                connection.recv(65536)
        ended = time.perf_counter()
        page.wait_for_selector(f"#rows td:text-is('{count}')")
        drawn = time.perf_counter()
        draws = page.evaluate("draws") - draws
        browser.close()
        return drawn - ended, draws / (drawn - started)


def main() -> int:
    """Measure everything and print a table; return 1 if a figure was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--client", nargs=2, metavar=("PORT", "REQUEST"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.client:
        port, data = options.client
        print(asyncio.run(send_for_a_while(int(port), data.encode("latin-1"))))
        return 0
    body = {"model": "mock-small", "messages": [{"role": "user", "content": "x"}]}
    line, key = (
        "POST /v1/chat/completions",
        "Authorization: Bearer mock-key-for-this-course",
    )
    chat = wire.request(line, key, body=json.dumps(body).encode())
    stream = wire.request(line, key, body=json.dumps({**body, "stream": True}).encode())
    seconds, draws = drawing()
    rows = [
        ("import, start, first reply: cold", cold_start() * 1000, "ms", "<", 250),
        ("start, first reply: warm", warm_start() * 1000, "ms", "<", 10),
        (
            "stop: page, 200 hung clients",
            stop_with_hung_clients() * 1000,
            "ms",
            "<",
            100,
        ),
        (
            "plain replies (GET /users/python)",
            rate(wire.request("GET /users/python")),
            "/s",
            ">",
            5000,
        ),
        (
            "the same, with the page open",
            rate(wire.request("GET /users/python"), is_watched=True),
            "/s",
            ">",
            5000,
        ),
        ("chat answers", rate(chat), "/s", ">", 0),
        ("streams of 21 events", rate(stream), "/s", ">", 1500),
        ("the same, with the page open", rate(stream, True), "/s", ">", 1500),
        ("1,000 requests drawn, after", seconds * 1000, "ms", "<", 2000),
        ("draws of the page", draws, "/s", "<", 20.5),
        ("a reply beside a long stream", beside_a_long_stream() * 1000, "ms", "<", 50),
    ]
    if sys.platform == "linux":
        rows.append(("20,000 bodies of 64 KiB", memory(), "MiB", "<", 200))
    print(f"{'':34} {'measured':>12} {'wanted':>13}")
    is_good = True
    for name, measured, unit, sign, wanted in rows:
        digits = 1 if unit == "ms" else 0
        is_met = measured < wanted if sign == "<" else measured > wanted
        is_good = is_good and is_met
        goal = f"{sign} {wanted:,} {unit}" if wanted else "-"
        print(
            f"{name:34} {measured:>8,.{digits}f} {unit:3} "
            f"{goal:>13}{'' if is_met else '  MISSED'}"
        )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
