"""The server in a terminal of its own: `python -m mock_server --port 8000 --fault
"delay(0.5)"`.
"""

import argparse
import sys
import time

from . import fault
from .server import MockServer


def main() -> int:
    """Serve until Ctrl-C; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m mock_server",
        description="An API on 127.0.0.1 that breaks on demand.",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on (default: any free one)"
    )
    parser.add_argument(
        "--latency",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds before each reply (default: 0)",
    )
    parser.add_argument(
        "--rpm",
        type=int,
        metavar="N",
        help="requests a minute that each key may send (default: no limit)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the chaos (default: 0)",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="F",
        help='a fault for every request, such as "status(503)"; several compose',
    )
    parser.add_argument(
        "--chaos",
        type=float,
        metavar="SHARE",
        help="let only this share of the requests, 0 to 1, meet one of the faults",
    )
    options = parser.parse_args()
    try:
        faults = [fault.parse(text) for text in options.fault]
        server = MockServer(
            port=options.port,
            latency=options.latency,
            requests_per_minute=options.rpm,
            seed=options.seed,
        )
        if options.chaos is not None:
            server.chaos(options.chaos, *faults)
        else:
            server.on().reply(*faults)
        server.start()
    except (ValueError, OverflowError) as error:
        print(f"mock_server: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"mock_server: cannot use port {options.port}: {error.strerror}; choose "
            "another --port",
            file=sys.stderr,
        )
        return 1
    try:
        print(
            f"{server.base_url}  (key: {server.api_key}; stop with Ctrl-C)", flush=True
        )
        while True:
            time.sleep(
                3600
            )  # Ctrl-C ends a sleep on every system; some other waits it does not
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
