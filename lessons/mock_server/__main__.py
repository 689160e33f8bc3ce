"""The server in a terminal of its own:
`python -m mock_server --port 8000 --fault "delay(0.5)"`.
"""

import argparse
import sys
import textwrap
import time
from collections import Counter

from . import fault
from .server import MockServer
from .step import catalogue


def main() -> int:
    """Serve until Ctrl-C; return the exit status."""
    options = _parser().parse_args()
    try:
        faults = [fault.parse(text) for text in options.fault]
        server = MockServer(
            port=options.port,
            latency=options.latency,
            token_delay=options.token_delay,
            requests_per_minute=options.rpm,
            tokens_per_minute=options.tpm,
            seed=options.seed,
            api_key=options.key,
            models=options.model,
        )
        if options.chaos is not None:
            server.chaos(options.chaos, *faults)
            faults = []
        server.on().reply(*faults, text=options.reply)
        server.start()
    except (ValueError, OverflowError) as error:
        print(f"mock_server: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = f"cannot use port {options.port}: {error.strerror}"
        print(f"mock_server: {reason}; choose another --port", file=sys.stderr)
        return 1
    try:
        about = f"(key: {server.api_key}; stop with Ctrl-C)"
        print(f"{server.base_url}  {about}")
        print(f"watch the requests arrive: {server.url}/_mock/", flush=True)
        while True:
            # Ctrl-C ends a sleep on every system; some other waits it does not.
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    if server.records:
        print(_summary(server))
    return 0


def _summary(server: MockServer) -> str:
    """Return how many requests came and how they ended, and the advice."""
    ends = [
        str(one.status if one.end == "complete" else one.end) for one in server.records
    ]
    counts = [f"{end}: {count}" for end, count in sorted(Counter(ends).items())]
    some = f"{len(ends)} request{'' if len(ends) == 1 else 's'}"
    lines = [f"{some}, at most {server.peak_open} at once ({', '.join(counts)})"]
    lines += [textwrap.fill(one, 88, subsequent_indent="  ") for one in server.advice()]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mock_server",
        description="An API on 127.0.0.1 that breaks on demand.",
        epilog=_faults(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="port to listen on (default: any free one)")
    add("--key", default="mock-key-for-this-course", help="the API key that it accepts")
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="one more model that exists, * for any name; can be repeated",
    )
    add("--reply", metavar="TEXT", help="what the model answers to everything")
    add(
        "--latency",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds before each reply (default: 0)",
    )
    add(
        "--token-delay",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds that the model takes for each token (default: 0)",
    )
    add(
        "--rpm",
        type=int,
        metavar="N",
        help="requests a minute that each key may send (default: no limit)",
    )
    add(
        "--tpm",
        type=int,
        metavar="N",
        help="tokens a minute that each key may use (default: no limit)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the chaos (default: 0)",
    )
    add(
        "--fault",
        action="append",
        default=[],
        metavar="F",
        help='a fault for every request, such as "status(503)"; several compose',
    )
    add(
        "--chaos",
        type=float,
        metavar="SHARE",
        help="let only this share of the requests, 0 to 1, meet one of the faults",
    )
    return parser


def _faults() -> str:
    """Return the list of all faults: each as a call, and what it does in a sentence."""
    lines = ["faults:"]
    for name, amounts, sentence in catalogue():
        lines.append(f"  {name}({', '.join(map(str, amounts))})")
        filled = textwrap.fill(sentence, 76)
        lines.append(textwrap.indent(filled, " " * 6))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
