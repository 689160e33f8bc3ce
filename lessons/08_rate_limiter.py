"""A rate limiter.

Stay inside a rate limit, however many callers there are.

First the limiter of most tutorials: twenty threads rush through it. Then
robust_client/limits.py: the same threads, 25 calls to a server that allows 20 a minute
(on a clock on which a minute takes no time), and a stream that is limited and repeated.
It takes about 4 seconds:

    python lessons/08_rate_limiter.py
    python lessons/08_rate_limiter.py --calls 50

Sample run:

    Talking to: the mock server on this machine (127.0.0.1), model mock-small
    The capital of France is Paris.

    12 threads, 4 calls a second allowed
      FirstLimiter    4 start after 0 s, 8 start after 1 s
      RateLimiter     4 start after 0 s, 4 start after 1 s, 4 start after 2 s

    25 calls, 20 a minute allowed
      no limiter      20 answered, 5 refused, after 0 s
      RateLimiter     25 answered, 0 refused, after 60 s

    a stream, 2 requests a second allowed, the first two go wrong
      The capital of France is Paris.
    n  t(s)  conn  request                    status  fault        end
    1  0.00  #1    POST /v1/chat/completions  503     status(503)  complete
    2  0.01  #1    POST /v1/chat/completions  -       drop("rst")  rst
    3  1.00  #2    POST /v1/chat/completions  200     -            complete
"""

import argparse
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from endpoint import choose_endpoint, run_main
from mock_server import MockServer, fault
from robust_client.chat import read_answer
from robust_client.errors import RateLimitError
from robust_client.limits import APIClientWithRateLimit, RateLimiter
from robust_client.retry import RobustAPIClient, retry_on_error

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


class FirstLimiter:
    """The limiter of most tutorials. Two callers may both take the last free start."""

    def __init__(self, max_calls: int, period: float) -> None:
        self.max_calls, self.period, self.calls = max_calls, period, deque()

    def acquire(self) -> None:
        """Wait until a call may start, so the tutorials say; period is in seconds."""
        now = time.monotonic()
        while self.calls and self.calls[0] < now - self.period:
            self.calls.popleft()
        if len(self.calls) >= self.max_calls:
            time.sleep(self.calls[0] + self.period - now)
        self.calls.append(time.monotonic())


class ManualClock:
    """A clock on which time passes only when somebody sleeps; in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass, in no time."""
        self.now += seconds


def race(acquire: Callable[[], None], count: int) -> str:
    """Let threads make a call each; return how many started after how many seconds."""
    starts = []

    def call() -> None:
        acquire()
        starts.append(time.monotonic())

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = Counter(round(start - min(starts)) for start in sorted(starts))
    parts = (f"{number} start after {second} s" for second, number in seconds.items())
    return ", ".join(parts)


def ask(client: RobustAPIClient, calls: int) -> str:
    """Make calls one after the other; return how many were answered and refused."""
    refused = 0
    for _ in range(calls):
        try:
            client.chat_completion(QUESTION)
        except RateLimitError:
            refused += 1
    return f"{calls - refused} answered, {refused} refused"


def show_minute(calls: int) -> None:
    """Make the calls without a limiter and with one; the server shares our clock."""
    print(f"\n{calls} calls, 20 a minute allowed")
    clock = ManualClock()
    with MockServer(requests_per_minute=20, clock=clock) as server:
        account = (server.api_key, server.base_url, "mock-small")
        with RobustAPIClient(*account, retry=None) as client:
            print(f"  no limiter      {ask(client, calls)}, after {clock():g} s")
        server.reset()
        with APIClientWithRateLimit(*account, retry=None) as client:
            client.limiter = RateLimiter(20, 60.0, clock=clock, sleep=clock.sleep)
            print(f"  RateLimiter     {ask(client, calls)}, after {clock():g} s")


def show_stream(server: MockServer) -> None:
    """Stream an answer through limiter and retry, while the server breaks twice."""
    print("\na stream, 2 requests a second allowed, the first two go wrong")
    server.reset()
    server.script(fault.status(503), fault.drop("rst"))
    account = (server.api_key, server.base_url, "mock-small")
    quick = {"max_calls": 2, "period": 1.0, "retry": retry_on_error(initial_delay=0.01)}
    with APIClientWithRateLimit(*account, **quick) as client:
        print("  " + "".join(client.chat_completion_stream(QUESTION)))
    server.show()


def main() -> None:
    """Ask the API of your choice, then let limiters work against the mock server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--calls", type=int, default=25, help="default: %(default)s")
    calls = parser.parse_args().calls
    if calls < 1:
        parser.error(f"--calls must be 1 or more, not {calls}")
    with MockServer() as server:
        choose_endpoint(server)
        with APIClientWithRateLimit() as client:
            print(read_answer(client.chat_completion(QUESTION)))
        print("\n12 threads, 4 calls a second allowed")
        print(f"  FirstLimiter    {race(FirstLimiter(4, 1.0).acquire, 12)}")
        print(f"  RateLimiter     {race(RateLimiter(4, 1.0).acquire, 12)}")
        show_minute(calls)
        show_stream(server)


if __name__ == "__main__":
    run_main(main)
