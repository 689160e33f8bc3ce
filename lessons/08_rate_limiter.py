"""Stay inside a rate limit: 25 calls to a server that allows 20 a minute.

First without a limiter, then with one, on a clock on which the minute takes no time.
Then for real, 20 calls a second, as tasks under asyncio. It takes about two seconds:
python lessons/08_rate_limiter.py
python lessons/08_rate_limiter.py --calls 50

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    The capital of France is Paris.

    25 calls, 20 a minute allowed
      without a limiter  20 answered, 5 refused, after 0 s
      with RateLimiter   25 answered, 0 refused, after 60 s
      reading headers    25 answered, 0 refused, after 15 s

    25 calls, 20 a second, by the clock on the wall
      20 after 0 s
       5 after 1 s
"""

import argparse
import asyncio
import functools
import inspect
import math
import os
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
import requests
from endpoint import choose_endpoint
from mock_server import MockServer

Function = Callable[..., Any]


class StartBook:
    """What a rate limiter knows: when the last calls started, and who waits.

    At most max_calls start in any window [t, t + period); period is in seconds.
    Raises ValueError for a limit that lets no call through.
    """

    def __init__(
        self,
        max_calls: int,
        period: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if max_calls < 1:
            raise ValueError(f"max_calls must be 1 or more, not {max_calls!r}")
        if not 0 < period < math.inf:
            raise ValueError(f"period must be seconds, above 0, not {period!r}")
        self._period, self._clock, self._sleep = period, clock, sleep
        # A full deque drops its oldest entry, so it always holds the last max_calls.
        self._starts = deque([-math.inf] * max_calls, maxlen=max_calls)
        self._line: deque[Callable[[], object]] = deque()  # how to wake who waits
        self._lock = threading.Lock()

    def _start(self) -> float:
        """Start a call if one may start; return the seconds to wait, if more than 0."""
        with self._lock:
            now = self._clock()
            wait = self._starts[0] + self._period - now
            if wait <= 0:
                self._starts.append(now)
        return wait


def waker(turn: asyncio.Event) -> Callable[[], object]:
    """Return a function that sets an event of the running loop, from any thread."""
    loop, home = asyncio.get_running_loop(), threading.get_ident()

    def wake() -> None:
        if threading.get_ident() == home:
            turn.set()
        else:  # what belongs to a loop is changed by that loop only
            loop.call_soon_threadsafe(turn.set)

    return wake


class WaitingLimiter(StartBook):
    """Lets calls start in the order in which they came, for threads and for tasks."""

    @contextmanager
    def _in_line(self, wake: Callable[[], object]) -> Iterator[None]:
        with self._lock:
            self._line.append(wake)
            self._line[0]()  # whoever is first may go on
        try:
            yield
        finally:
            with self._lock:
                self._line.remove(wake)
                if self._line:
                    self._line[0]()  # now it is somebody else, if I was it

    def acquire(self) -> None:
        """Wait until a call may start; only this thread stands still."""
        if not self._line and self._start() <= 0:
            return
        turn = threading.Event()
        with self._in_line(turn.set):
            turn.wait()
            while (wait := self._start()) > 0:
                self._sleep(wait)

    async def acquire_async(self) -> None:
        """Wait until a call may start; only this task stands still."""
        if not self._line and self._start() <= 0:
            return
        turn = asyncio.Event()
        with self._in_line(waker(turn)):
            await turn.wait()
            while (wait := self._start()) > 0:
                await asyncio.sleep(wait - 0.001)  # its timers end up to 1 ms late


class RateLimiter(WaitingLimiter):
    """At most max_calls starts in any window [t, t + period); also a decorator."""

    def __call__(self, function: Function) -> Function:
        """Return the function, or the async function, with a wait before each call."""

        @functools.wraps(function)
        def wait_and_call(*args: Any, **kwargs: Any) -> Any:
            self.acquire()
            return function(*args, **kwargs)

        @functools.wraps(function)
        async def wait_and_call_async(*args: Any, **kwargs: Any) -> Any:
            await self.acquire_async()
            return await function(*args, **kwargs)

        is_async = inspect.iscoroutinefunction(function)
        return wait_and_call_async if is_async else wait_and_call


class PlainAPIClient:
    """The client of lesson 03 in short; its failures are those of requests.

    Unless told, it uses OPENAI_API_KEY and OPENAI_BASE_URL; ValueError without them.
    """

    timeout = (3.05, 30.0)  # seconds to connect, and for each part of the reply

    def __init__(self, api_key: str | None = None, base_url: str | None = None) -> None:
        api_key = api_key or os.environ.get("OPENAI_API_KEY")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not api_key or not base_url:
            raise ValueError("set OPENAI_API_KEY and OPENAI_BASE_URL, or pass both")
        self.base_url = base_url.rstrip("/")
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {api_key}"

    def chat_completion(
        self,
        messages: list[dict[str, Any]],
        model: str,
        temperature: float = 0.7,
        max_tokens: int = 2000,
    ) -> dict[str, Any]:
        """Return the reply to a conversation, as the API sends it."""
        body = {"model": model, "messages": messages}
        body |= {"temperature": temperature, "max_tokens": max_tokens}
        return self._handle_response(self._send("/chat/completions", body))

    def _send(self, path: str, body: Any) -> requests.Response:
        return self.session.post(self.base_url + path, json=body, timeout=self.timeout)

    def _handle_response(self, response: requests.Response) -> Any:
        response.raise_for_status()
        return response.json()


class APIClientWithRateLimit(PlainAPIClient):
    """The same client; it sends 20 requests a minute, or what limiter lets through.

    A service counts by key, so clients with the same address and key share a limiter.
    """

    limiters: ClassVar[dict[int, RateLimiter]] = {}

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        limiter: RateLimiter | None = None,
    ) -> None:
        super().__init__(api_key, base_url)
        # A number in place of address and key, so that nobody sees the key in the dict.
        account = hash((self.base_url, self.session.headers["Authorization"]))
        shared = self.limiters.setdefault(account, RateLimiter(20, 60.0))
        self.limiter = limiter or shared

    def _send(self, path: str, body: Any) -> requests.Response:
        self.limiter.acquire()
        return super()._send(path, body)


UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration_seconds(text: str) -> float:
    """Return a duration such as 8ms, 1.5s or 6m0s in seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def pause_after(headers: Mapping[str, str]) -> float:
    """Return the seconds to wait before the next request, by the server's own count.

    Right for a server that refills all the time; 0.0 if it sends no such headers.
    """
    if headers.get("x-ratelimit-remaining-requests") != "0":
        return 0.0
    until_full = duration_seconds(headers["x-ratelimit-reset-requests"])
    return until_full / int(headers["x-ratelimit-limit-requests"])


class HeaderReadingClient(PlainAPIClient):
    """The same client; it has no limiter, and waits as the last reply's headers say."""

    sleep = staticmethod(time.sleep)
    pause = 0.0  # seconds

    def _send(self, path: str, body: Any) -> requests.Response:
        self.sleep(self.pause)
        response = super()._send(path, body)
        self.pause = pause_after(response.headers)
        return response


class ManualClock:
    """A clock on which time passes only when somebody sleeps; in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass, in no time."""
        self.now += seconds


QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def make_calls(client: PlainAPIClient, count: int) -> Counter[int]:
    """Make calls one after the other; return how often which status came back."""
    statuses = Counter()
    for _ in range(count):
        try:
            client.chat_completion(QUESTION, "mock-small")
            statuses[200] += 1
        except requests.HTTPError as error:
            statuses[error.response.status_code] += 1
    return statuses


def show_minutes(calls: int) -> None:
    """Make the calls with three clients, on a clock that the server shares."""
    clock = ManualClock()
    print(f"\n{calls} calls, 20 a minute allowed")
    with MockServer(requests_per_minute=20, clock=clock) as server:
        account = (server.api_key, server.base_url)
        limiter = RateLimiter(20, 60.0, clock=clock, sleep=clock.sleep)
        reader = HeaderReadingClient(*account)
        reader.sleep = clock.sleep
        clients = {
            "without a limiter": PlainAPIClient(*account),
            "with RateLimiter": APIClientWithRateLimit(*account, limiter=limiter),
            "reading headers": reader,
        }
        for label, client in clients.items():
            began = clock()
            got = make_calls(client, calls)
            end = f"after {clock() - began:g} s"
            print(f"  {label:<18} {got[200]} answered, {got[429]} refused, {end}")
            clock.sleep(60)  # the server forgets


async def show_seconds(server: MockServer, calls: int) -> None:
    """Send the requests as tasks, 20 a second in real time; let the server count."""
    http = httpx.AsyncClient(base_url=server.base_url, timeout=10.0)
    http.headers["Authorization"] = f"Bearer {server.api_key}"

    @RateLimiter(20, 1.0)
    async def get_models() -> httpx.Response:
        return (await http.get("/models")).raise_for_status()

    print(f"\n{calls} calls, 20 a second, by the clock on the wall")
    async with http:
        await asyncio.gather(*[get_models() for _ in range(calls)])
    first = server.records[0].received
    arrivals = Counter(round(record.received - first) for record in server.records)
    for second, count in arrivals.items():
        print(f"  {count:>2} after {second} s")


def main() -> None:
    """Ask the API of your choice, then let the mock server count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--calls", type=int, default=25, help="default: %(default)s")
    calls = parser.parse_args().calls
    if calls < 1:
        parser.error(f"--calls must be 1 or more, not {calls}")
    with MockServer() as server:
        endpoint = choose_endpoint(server)
        reply = APIClientWithRateLimit().chat_completion(QUESTION, endpoint.model)
        print(reply["choices"][0]["message"]["content"])
        show_minutes(calls)
        server.reset()
        asyncio.run(show_seconds(server, calls))


if __name__ == "__main__":
    main()
