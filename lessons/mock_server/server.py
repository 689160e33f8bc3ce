"""The server: a real HTTP/1.1 server on 127.0.0.1, in a thread of its own."""

import asyncio
import contextlib
import functools
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .accept import Connection, accept_for_ever, raise_limit
from .call import State
from .control import Control
from .fault import Fault
from .handler import Handler
from .limiter import Limiter
from .live import Live
from .notebook import note_start, note_stop
from .plan import Plan, Rule, check_seconds
from .records import Log, Record, mask, table
from .step import MOST_BYTES

MODELS = ("mock-small", "mock-large")  # those that exist without a rule
_NO_LIMIT = 100_000_000  # requests or tokens a minute: the limit when none is asked for
_logger = logging.getLogger("mock_server")
# aiohttp logs every malformed request as an error of the server. Here they are lessons,
# so only real errors are shown.
_MALFORMED = (HttpProcessingError, web.RequestPayloadError)
_logger.addFilter(
    lambda entry: not (entry.exc_info and isinstance(entry.exc_info[1], _MALFORMED))
)


class MockServer:
    """An HTTP server on this machine that plays an API and breaks on demand.

        with MockServer(latency=0.2) as server:
            server.script(fault.status(503), fault.ok())
            ...
            server.show()

    seed: decides the chaos, so that a run can be repeated.
    latency: seconds before each reply.
    token_delay: seconds that the mock model takes for each token of an answer, streamed
        or not.
    requests_per_minute, tokens_per_minute: the rate limit of each key, for what the
        models are asked; None for none worth the name.
    port: 0 for any free one.
    api_key: the key that it accepts.
    models: names of models that exist besides mock-small and mock-large, and those that
        rules speak of; "*" for any name.
    clock: returns seconds, for the rate limit only.

    start() and stop() do what the with statement does. OSError if the port is taken.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        latency: float = 0.0,
        token_delay: float = 0.0,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        port: int = 0,
        api_key: str = "mock-key-for-this-course",
        models: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_seconds("latency", latency)
        check_seconds("token_delay", token_delay)
        _check_limit("requests_per_minute", requests_per_minute)
        _check_limit("tokens_per_minute", tokens_per_minute)
        if not re.fullmatch("[!-~]+", api_key):
            raise ValueError("api_key must be one word of printable ASCII")
        self.seed, self.api_key = seed, api_key
        self._more_models = _check_models(models)
        self._wanted_port, self.port = port, 0
        self._thread: threading.Thread | None = None
        limits = requests_per_minute or _NO_LIMIT, tokens_per_minute or _NO_LIMIT
        limiter = Limiter(*limits, clock)
        self._limit = requests_per_minute
        self._state = State(api_key, latency, token_delay, limiter, self._models)
        self._log, self._plan = Log(), Plan(seed)
        live = Live(self._log, self._plan, self._advise)
        control = Control(self._log, self._plan, self.reset, live)
        self._handler = Handler(self._log, self._plan, self._state, control)

    # --- life ---

    def __enter__(self) -> "MockServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> "MockServer":
        """Start serving; the server is ready when this returns.

        Raises OSError if the port is taken.
        """
        if self._thread:
            raise RuntimeError("this server is running already")
        listener = self._listen()
        self.port = listener.getsockname()[1]
        listener.setblocking(False)
        self._handler.start()
        is_ready = threading.Event()
        serve = functools.partial(asyncio.run, self._serve(listener, is_ready))
        self._thread = threading.Thread(target=serve, name="mock-server", daemon=True)
        self._thread.start()
        is_ready.wait()
        note_start(self)
        return self

    def _listen(self) -> socket.socket:
        """Return the socket that takes the connections."""
        return socket.create_server(("127.0.0.1", self._wanted_port), backlog=1024)

    def stop(self) -> None:
        """Stop at once, even if clients are connected. Stopping twice does no harm."""
        if self._thread:
            self._loop.call_soon_threadsafe(self._stop_event.set)
            self._thread.join()
            self._thread = None
            note_stop(self)

    async def _serve(self, listener: socket.socket, is_ready: threading.Event) -> None:
        self._loop, self._stop_event = asyncio.get_running_loop(), asyncio.Event()
        server = web.Server(
            self._handler.handle,
            handler_cancellation=True,
            request_factory=_make_request,
        )
        connect = functools.partial(
            Connection,
            self._handler.waiting,
            self._handler.ending,
            server,
            loop=self._loop,
            access_log=None,
            logger=_logger,
            auto_decompress=False,
        )
        # A timeout of 0 would wait for ever.
        runner = web.ServerRunner(server, shutdown_timeout=0.001)
        with listener:
            try:
                await runner.setup()
                accepting = accept_for_ever(
                    listener, server, connect, raise_limit(), self._handler.idle
                )
                task = asyncio.create_task(accepting)
            finally:
                is_ready.set()
            await self._stop_event.wait()
            task.cancel()
            with contextlib.suppress(NotImplementedError):  # as on Windows
                # One who comes right now must not meet a cancelled sock_accept.
                self._loop.remove_reader(listener)
            await asyncio.wait([task])
        self._handler.stop()
        await runner.cleanup()

    # --- for the person who runs it ---

    @property
    def url(self) -> str:
        """The address of the server, without a slash at the end; an Anthropic client is
        given this one.
        """
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The address that an OpenAI client is given."""
        return f"{self.url}/v1"

    @property
    def latency(self) -> float:
        """Seconds before each reply."""
        return self._state.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        check_seconds("latency", seconds)
        self._state.latency = seconds

    def script(self, *steps: Fault) -> None:
        """Say what happens to the next requests, in the order in which they arrive: one
        fault each.
        """
        self._plan.add_to_script(steps)

    def on(
        self,
        *,
        method: str | None = None,
        path: str | None = None,
        model: str | None = None,
    ) -> Rule:
        """Make a standing rule for the requests that match, and say what it does with
        reply(); the newest rule wins.
        """
        rule = Rule(method, path, model)
        self._plan.add_rule(rule)
        return rule

    def chaos(self, share: float, *choices: Fault) -> None:
        """Let one of the faults happen to this share of all requests, from 0 to 1.

        Which requests, and which fault, follows from the seed, the request and its
        attempt number, never from the order in which requests arrive: a run with the
        same seed repeats, and a request that is sent again can succeed.
        """
        self._plan.set_chaos(share, choices)

    def reset(self) -> None:
        """Forget all records, scripts, rules, agents and counts, as if the server had
        just started.
        """
        self._log.clear()
        self._plan.clear()
        self._state.clear()

    @property
    def records(self) -> list[Record]:
        """The requests that arrived, oldest first: the last 10,000 of them, or fewer if
        their bodies and headers take more than 64 MiB.
        """
        return self._log.all()

    @property
    def peak_open(self) -> int:
        """The highest number of requests that were open at once."""
        return self._log.peak_open

    def wait_for(self, count: int, timeout: float = 2.0) -> list[Record]:
        """Wait until count requests have arrived and ended; return the records.

        Raises TimeoutError after timeout seconds.
        """
        self._log.wait_for(count, timeout)
        return self.records

    def show(self, last: int | None = None) -> None:
        """Print the records as a table, or only the last few.

        A request that a client has just given up on is noticed a moment later,
        so this waits up to 0.2 s for open requests to end.
        """
        self._log.wait_until_idle(0.2)
        print(table(self.records[-last:] if last else self.records))

    def advice(self) -> list[str]:
        """Return what your client could do better, a sentence for each fault, with the
        numbers of the requests it rests on; an empty list for a polite client.

        Like show(), this waits up to 0.2 s for open requests to end.
        """
        self._log.wait_until_idle(0.2)
        return self._advise()

    def _advise(self) -> list[str]:
        from .advice import Seen, advise  # not before somebody asks: it takes a while

        log = self._log
        seen = Seen(log.all(), log.now(), log.started, self._limit, mask(self.api_key))
        return advise(seen)

    def live(self, height: int = 480) -> None:
        """Show the page on which requests can be watched as they arrive: in a notebook
        right there, so many pixels high; elsewhere its address.
        """
        address = f"{self.url}/_mock/"
        print(f"Watch the requests arrive: {address}")
        if "ipykernel" in sys.modules:
            from IPython.display import IFrame, display

            display(IFrame(address, "100%", height))

    def _models(self) -> list[str]:
        """Return the models that exist: the usual ones, and those that rules speak
        of.
        """
        return list(dict.fromkeys([*MODELS, *self._more_models, *self._plan.models()]))


def _make_request(*parts: Any) -> web.BaseRequest:
    """Return a request whose body may have 4 MiB, as an image in a question has."""
    return web.BaseRequest(
        *parts, asyncio.get_running_loop(), client_max_size=MOST_BYTES
    )


def _check_models(names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise ValueError(f"models must be a list of names, such as [{names!r}]")
    names = list(names)
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ValueError(f"the name of a model must be a text, not {name!r}")
    return names


def _check_limit(name: str, value: int | None) -> None:
    if value is not None and (type(value) is not int or value < 1):
        message = f"{name} must be a whole number of at least 1, not {value!r}"
        raise ValueError(message)
