"""The mock servers of one test, on the judge's side of the wall."""

import os
import socket
from collections.abc import Mapping
from typing import Any

from mock_server import MockServer, fault
from mock_server.records import Record

from .parsing import one_at_a_time

MOST_SERVERS = 20  # of one test
MOST_WAIT = 5.0  # seconds


class JudgeServer(MockServer):
    """A server on a socket that listens in a sandbox, without the control endpoints."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._handler.control = None
        self._listener: socket.socket | None = None

    def listen_on(self, listener: socket.socket) -> None:
        """Serve what comes to this socket, from now on."""
        self._listener = listener
        self.start()

    def _listen(self) -> socket.socket:
        assert self._listener
        return self._listener


class Servers:
    """The servers that one test has asked for, and what they saw.

    swap: texts to serve in the place of others. The control tests need that: what
        they were served is not what they believe.
    """

    def __init__(self, swap: Mapping[str, str]) -> None:
        self._swap = swap
        self._servers: list[JudgeServer] = []
        self._rules: list[Any] = []
        self._forgotten = 0  # requests before a reset

    @property
    def requests(self) -> int:
        """How many requests all servers saw."""
        return self._forgotten + sum(len(one.records) for one in self._servers)

    def stop(self) -> None:
        """Stop all servers."""
        for server in self._servers:
            server.stop()

    def answer(self, order: Mapping[str, Any], files: list[int]) -> dict[str, Any]:
        """Carry out what a test asks for; return the message to send back."""
        try:
            return {"value": self._do(order, files)}
        except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
            return {"error": [type(error).__name__, str(error)]}

    def _do(self, order: Mapping[str, Any], files: list[int]) -> Any:
        if order["do"] == "make":
            if len(self._servers) >= MOST_SERVERS:
                raise ValueError(f"at most {MOST_SERVERS} servers in a test")
            self._servers.append(JudgeServer(**order["arguments"]))
            return len(self._servers) - 1
        server = self._servers[order["server"]]
        match order["do"]:
            case "start":
                listener = socket.socket(fileno=os.dup(files[0]))
                server.listen_on(listener)
            case "stop":
                server.stop()
            case "script":
                server.script(*self._faults(order))
            case "on":
                self._rules.append(server.on(**order["match"]))
                return len(self._rules) - 1
            case "reply":
                options = order["options"]
                if options.get("text"):
                    options["text"] = self._swapped(options["text"])
                self._rules[order["rule"]].reply(*self._faults(order), **options)
            case "chaos":
                server.chaos(order["share"], *self._faults(order))
            case "reset":
                self._forgotten += len(server.records)
                server.reset()
            case "records":
                return [_plain(one) for one in server.records]
            case "wait_for":
                wait = min(order["timeout"], MOST_WAIT)
                return [_plain(one) for one in server.wait_for(order["count"], wait)]
            case "peak_open":
                return server.peak_open
            case "latency":
                return server.latency
            case "set_latency":
                server.latency = order["seconds"]
            case "advice":
                return server.advice()
            case unknown:
                raise ValueError(f"a server cannot {unknown!r}")
        return None

    def _faults(self, order: Mapping[str, Any]) -> list[fault.Fault]:
        with one_at_a_time:
            return [fault.parse(self._swapped(text)) for text in order["faults"]]

    def _swapped(self, text: str) -> str:
        for known, other in self._swap.items():
            text = text.replace(known, other)
        return text


def _plain(record: Record) -> dict[str, Any]:
    """Return a record as plain JSON; bytes become letters of the same numbers."""
    fields = dict(vars(record))
    for name in ("body", "reply"):
        fields[name] = fields[name].decode("latin-1")
    return fields
