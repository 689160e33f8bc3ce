"""The mock server as a test in the sandbox sees it: the real one runs at the judge.

RemoteServer has the methods of MockServer that tests use. Each becomes a message to the
judge, who keeps the records: nothing in the sandbox can change what a server saw.
"""

import inspect
import socket
import threading
from collections.abc import Iterable
from typing import Any

from mock_server import MockServer
from mock_server.records import Record, table

from . import wire

_ERRORS = {"ValueError": ValueError, "TypeError": TypeError, "OSError": OSError}
_ERRORS["TimeoutError"] = TimeoutError


class Line:
    """The way to the judge; whoever uses it takes turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._key = ""

    def open(self, channel: socket.socket, key: str) -> None:
        """Begin to use a channel; the key says that it is us who speak."""
        self._channel, self._key = channel, key

    def ask(self, do: str, files: Iterable[int] = (), **more: Any) -> Any:
        """Send a request, and return the answer. Raises what the judge's server did."""
        with self._lock:
            message = {"key": self._key, "do": do, **more}
            wire.send(self._channel, message, list(files))
            answer = wire.receive(self._channel)
        if answer is None:
            raise ConnectionError("the judge has gone")
        self._key = answer[0].get("key", self._key)
        if "error" in answer[0]:
            kind, text = answer[0]["error"]
            raise _ERRORS.get(kind, RuntimeError)(text)
        return answer[0]["value"]


line = Line()


class RemoteRule:
    """What MockServer.on returns."""

    def __init__(self, server: int, rule: int) -> None:
        self._server, self._rule = server, rule

    def reply(self, *faults: Any, **options: Any) -> "RemoteRule":
        """See mock_server.plan.Rule.reply."""
        texts = [repr(fault) for fault in faults]
        more = {"rule": self._rule, "faults": texts, "options": options}
        line.ask("reply", server=self._server, **more)
        return self


class RemoteServer:
    """Has the methods of MockServer that tests use.

    A server with a clock of the test's own is a real one, in the sandbox.
    """

    def __new__(cls, **arguments: Any) -> Any:
        """Return a MockServer for a clock, since no message can carry that."""
        if "clock" in arguments:
            return MockServer(**arguments)
        return super().__new__(cls)

    def __init__(self, **arguments: Any) -> None:
        defaults = inspect.signature(MockServer).parameters
        self.api_key = arguments.get("api_key", defaults["api_key"].default)
        self.port = 0
        self._number = line.ask("make", arguments=arguments)

    def __enter__(self) -> Any:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Any:
        """Listen here, and let the judge answer."""
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            self.port = listener.getsockname()[1]
            line.ask("start", [listener.fileno()], server=self._number)
        return self

    def _ask(self, do: str, **more: Any) -> Any:
        return line.ask(do, server=self._number, **more)

    def stop(self) -> None:
        """See MockServer.stop."""
        self._ask("stop")

    @property
    def url(self) -> str:
        """See MockServer.url."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """See MockServer.base_url."""
        return f"{self.url}/v1"

    @property
    def latency(self) -> float:
        """See MockServer.latency."""
        return self._ask("latency")

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._ask("set_latency", seconds=seconds)

    def script(self, *steps: Any) -> None:
        """See MockServer.script."""
        self._ask("script", faults=[repr(step) for step in steps])

    def on(self, **match: Any) -> RemoteRule:
        """See MockServer.on."""
        return RemoteRule(self._number, self._ask("on", match=match))

    def chaos(self, share: float, *choices: Any) -> None:
        """See MockServer.chaos."""
        self._ask("chaos", share=share, faults=[repr(choice) for choice in choices])

    def reset(self) -> None:
        """See MockServer.reset."""
        self._ask("reset")

    @property
    def records(self) -> list[Record]:
        """See MockServer.records."""
        return [_record(one) for one in self._ask("records")]

    @property
    def peak_open(self) -> int:
        """See MockServer.peak_open."""
        return self._ask("peak_open")

    def wait_for(self, count: int, timeout: float = 2.0) -> list[Record]:
        """See MockServer.wait_for."""
        more = {"count": count, "timeout": timeout}
        return [_record(one) for one in self._ask("wait_for", **more)]

    def show(self, last: int | None = None) -> None:
        """See MockServer.show."""
        print(table(self.records[-last:] if last else self.records))

    def advice(self) -> list[str]:
        """See MockServer.advice."""
        return self._ask("advice")


def _record(fields: dict[str, Any]) -> Record:
    for name in ("body", "reply"):
        fields[name] = fields[name].encode("latin-1")
    return Record(**fields)
