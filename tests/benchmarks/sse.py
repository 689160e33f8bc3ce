"""How fast our parsers read an event stream, beside three libraries. By hand:

    python -m tests.benchmarks.sse
    python -m tests.benchmarks.sse --mb 20

All read the same events, as OpenAI sends them, in pieces of 1, 64, 4,096 and 65,536
bytes, through what their users call. The time is that of the processor, so that other
programs disturb less, and the best of ten readings counts. To reach: robust_client
is 1.4 times as fast as the fastest library, and solution 07 as fast as it, except in
pieces of 1 byte. Then our parsers read one long line of growing length: the time for
each MB must not grow with it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import httpx_sse
from openai._streaming import SSEDecoder
from robust_client.sse import iter_sse

from tests.lesson_files import load

SOLUTION = Path(__file__).parents[2] / "solutions" / "07_sse_streaming.py"
SIZES = (1, 64, 4096, 65536)  # bytes
LENGTHS = (0.25, 2, 8)  # MB of one line
ROUNDS = 10  # of which the best counts
HEADERS = {"Content-Type": "text/event-stream"}
TEXT = "The sky is blue because air scatters blue light. 天空 是 蓝色 的 👋"
Reader = Callable[[Iterable[bytes]], Iterable[Any]]


def with_httpx_sse(chunks: Iterable[bytes]) -> Iterable[Any]:
    """Read with httpx-sse."""
    response = httpx.Response(200, headers=HEADERS, content=iter(chunks))
    return httpx_sse.EventSource(response).iter_sse()


def with_httpx2(chunks: Iterable[bytes]) -> Iterable[Any]:
    """Read with httpx2's own EventSource."""
    more = {"headers": HEADERS, "request": httpx2.Request("GET", "http://127.0.0.1")}
    return httpx2.EventSource(httpx2.Response(200, content=iter(chunks), **more))


def with_openai(chunks: Iterable[bytes]) -> Iterable[Any]:
    """Read with the decoder of the official SDK."""
    return SSEDecoder().iter_bytes(iter(chunks))


OURS: dict[str, Reader] = {
    "robust_client": iter_sse,
    "solution 07": load(SOLUTION).iter_sse,
}
GOALS = {"robust_client": 1.4, "solution 07": 1.0}  # times the fastest library
LIBRARIES: dict[str, Reader] = {
    "httpx-sse": with_httpx_sse,
    "httpx2": with_httpx2,
    "openai": with_openai,
}


def make_events(mb: float) -> tuple[bytes, int]:
    """Return mb megabytes of the events of a long answer, and their number."""
    facts = {"id": "chatcmpl-1f0c", "object": "chat.completion.chunk"}
    facts |= {"created": 1750000000, "model": "mock-small", "system_fingerprint": "fp"}
    events = []
    for word in TEXT.split():
        choice = {"index": 0, "delta": {"content": f" {word}"}, "finish_reason": None}
        text = json.dumps(facts | {"choices": [choice]}, ensure_ascii=False)
        events.append(f"data: {text}\n\n".encode())
    times = max(1, round(mb * 1e6 / len(b"".join(events))))
    return b"".join(events) * times, len(events) * times


def measure(
    readers: dict[str, Reader], data: bytes, size: int, count: int
) -> dict[str, float]:
    """Return the CPU seconds that each reader takes, by its name.

    They take turns, so that a busy machine is busy for all of them. Raises RuntimeError
    if one does not give count events.
    """
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    best = dict.fromkeys(readers, 1e9)
    for _ in range(1 if size == 1 else ROUNDS):
        for name, read in readers.items():
            start = time.process_time()
            found = sum(1 for _ in read(chunks))
            best[name] = min(best[name], max(time.process_time() - start, 1e-6))
            if found != count:
                raise RuntimeError(f"{name} gave {found} events, not {count}")
    return best


def compare(data: bytes, count: int) -> bool:
    """Print the speeds of all readers; say whether ours reach their goals."""
    is_good = True
    print(f"{len(data) / 1e6:.1f} MB, {count:,} events\n")
    print(f"{'bytes':>6}  {'':<14}{'MB/s':>8}{'events/s':>12}  of the fastest library")
    for size in SIZES:
        seconds = measure(OURS | LIBRARIES, data, size, count)
        fastest = min(seconds[name] for name in LIBRARIES)
        for name, value in seconds.items():
            speeds = f"{len(data) / 1e6 / value:>8.1f}{count / value:>12,.0f}"
            print(f"{size:>6}  {name:<14}{speeds}  {fastest / value:.2f}")
            is_good &= size == 1 or fastest / value >= GOALS.get(name, 0)
    return is_good


def is_linear(name: str, read: Reader) -> bool:
    """Print what a line costs, by its length; say whether a MB always costs the same.

    A quadratic parser would need 32 times as long for a MB of the longest line.
    """
    costs = []
    for length in LENGTHS:
        line = b"data: " + b"x" * int(length * 1e6) + b"\n\n"
        seconds = [measure({name: read}, line, size, 1)[name] for size in SIZES]
        costs.append([value / length * 1000 for value in seconds])
        columns = "".join(f"{cost:>9.2f}" for cost in costs[-1])
        print(f"{length:>6} MB  {name:<14}{columns}")
    pairs = zip(costs[0], costs[-1], strict=True)
    return all(last < 4 * max(first, 1.0) for first, last in pairs)


def main() -> int:
    """Print speeds and costs; return 1 if a goal is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--mb", type=float, default=2.0, help="of events (%(default)s)")
    mb = parser.parse_args().mb
    if not mb > 0:
        parser.error(f"--mb must be above 0, not {mb}")
    is_good = compare(*make_events(mb))
    sizes = "".join(f"{size:>9,}" for size in SIZES)
    print(f"\none line, ms for each MB{sizes}")
    is_good &= all([is_linear(name, read) for name, read in OURS.items()])
    print("\nall goals are reached" if is_good else "\nNOT all goals are reached")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
