"""How fast lesson 07 and solution 07 parse, beside httpx-sse, httpx2 and the official
SDK. By hand, in one run:

    python -m tests.benchmarks.sse
    python -m tests.benchmarks.sse --mb 2

All read the same OpenAI-style events, in pieces of 1, 64, 4,096 and 65,536 bytes, from
bytes to events, through what their users call. The time is that of the processor, so
that other programs disturb less; larger pieces than 1 byte are read three times, and
the best time counts. At the end, our parsers read one event that is a single line, of
growing
length: the time for each MB must not grow with it. The lesson's parser, made to be
    read, is to reach half the speed of
the fastest other one, the solution's all of it. 20 MB take some minutes, most of it for
pieces of 1 byte.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import httpx_sse
from openai._streaming import SSEDecoder

ROOT = Path(__file__).parents[2]
SIZES = (1, 64, 4096, 65536)  # bytes
HEADERS = {"Content-Type": "text/event-stream"}
TEXT = "The sky is blue because air scatters blue light more than red light. 天空 是 蓝色 的 👋"
Reader = Callable[[Iterable[bytes]], Iterable[Any]]


def load(folder: str) -> ModuleType:
    """Return the file 07_sse_streaming.py of a folder as a module."""
    spec = importlib.util.spec_from_file_location(
        f"{folder}_07", ROOT / folder / "07_sse_streaming.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclass looks for it
    spec.loader.exec_module(module)
    return module


def with_httpx_sse(chunks: Iterable[bytes]) -> Iterator[Any]:
    """Read with httpx-sse."""
    return httpx_sse.EventSource(
        httpx.Response(200, headers=HEADERS, content=iter(chunks))
    ).iter_sse()


def with_httpx2(chunks: Iterable[bytes]) -> Iterator[Any]:
    """Read with httpx2's own EventSource."""
    request = httpx2.Request("GET", "http://127.0.0.1")
    return iter(
        httpx2.EventSource(
            httpx2.Response(200, headers=HEADERS, content=iter(chunks), request=request)
        )
    )


def with_openai(chunks: Iterable[bytes]) -> Iterator[Any]:
    """Read with the decoder of the official SDK."""
    return SSEDecoder().iter_bytes(iter(chunks))


OURS = {
    "lesson 07": load("lessons").iter_sse,
    "solution 07": load("solutions").iter_sse,
}
TO_REACH = {
    "lesson 07": 0.5,
    "solution 07": 1.0,
}  # of the speed of the fastest other one
READERS: dict[str, Reader] = {
    **OURS,
    "httpx-sse": with_httpx_sse,
    "httpx2": with_httpx2,
    "openai": with_openai,
}


def make_events(mb: float) -> tuple[bytes, int]:
    """Return mb megabytes of the events of a long answer, and how many events those
    are.
    """
    words = [f" {word}" for word in TEXT.split()]
    events, length = [], 0
    while length < mb * 1e6:
        choice = {
            "index": 0,
            "delta": {"content": words[len(events) % len(words)]},
            "logprobs": None,
        }
        chunk = {
            "id": "chatcmpl-1f0c",
            "object": "chat.completion.chunk",
            "created": 1750000000,
            "model": "mock-small",
        }
        chunk |= {
            "system_fingerprint": "fp_mock",
            "choices": [{**choice, "finish_reason": None}],
        }
        text = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
        events.append(f"data: {text}\n\n".encode())
        length += len(events[-1])
    return b"".join(events), len(events)


def measure(read: Reader, data: bytes, size: int, count: int) -> float:
    """Return the CPU seconds that reading takes; RuntimeError if it is not count events
    that come out.
    """
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    seconds = []
    for _ in range(1 if size == 1 else 3):
        start = time.process_time()
        found = sum(1 for _ in read(chunks))
        seconds.append(time.process_time() - start)
        if found != count:
            raise RuntimeError(f"{found} events came out, not {count}")
    return max(min(seconds), 1e-6)


def main() -> int:
    """Print the speeds; 1 if one of our parsers does not reach what it is to reach, or
    is not linear.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--mb", type=float, default=20.0, help="megabytes of events (%(default)s)"
    )
    mb = parser.parse_args().mb
    if mb <= 0:
        parser.error(f"--mb must be above 0, not {mb}")
    is_good = True
    data, count = make_events(mb)
    print(f"{len(data) / 1e6:.1f} MB, {count:,} events\n")
    print(f"{'bytes':>6}  {'':<12}{'MB/s':>8}{'events/s':>12}  of the fastest other")
    for size in SIZES:
        seconds = {
            name: measure(read, data, size, count) for name, read in READERS.items()
        }
        fastest = min(value for name, value in seconds.items() if name not in OURS)
        for name, value in seconds.items():
            print(
                f"{size:>6}  "
                f"{name:<12}{len(data) / 1e6 / value:>8.1f}{count / value:>12,.0f}  "
                f"{fastest / value:.2f}"
            )
        is_good &= all(
            fastest / seconds[name] >= share for name, share in TO_REACH.items()
        )

    print(
        f"\n{'one line':>9}{'ms/MB, in pieces of':>22} "
        + "".join(f"{size:>9,}" for size in SIZES)
    )
    for name, read in OURS.items():
        costs = []
        for length in (0.25, 0.5, 1, 2, 4, 8):  # MB
            line = b"data: " + b"x" * int(length * 1e6) + b"\n\n"
            costs.append(
                [measure(read, line, size, 1) / length * 1000 for size in SIZES]
            )
            print(
                f"{length:>6} MB  {name:<21} "
                + "".join(f"{cost:>9.2f}" for cost in costs[-1])
            )
        # A quadratic parser would need 32 times as long for each MB of the longest line
        # as for one of the shortest.
        is_good &= all(
            last < 4 * max(first, 1.0)
            for first, last in zip(costs[0], costs[-1], strict=True)
        )
    goal = "the lesson half of the fastest other one everywhere, the solution all of it, and both linear"
    print(f"\nreached: {goal}" if is_good else f"\nNOT reached: {goal}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
