"""The server: a real HTTP/1.1 server on 127.0.0.1, in a thread of its own."""

import asyncio
import functools
import json
import logging
import operator
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from . import fault as faults
from .call import Call, State
from .fault import Fault
from .limiter import Limiter
from .openai_api import MODELS
from .records import BODY_LIMIT, Log, Mask, Record, mask, table
from .reply import Reply, digest, json_reply, retry_after_header, to_json
from .routes import GITHUB, OPENAI, Service, find

GITHUB_REMAINING = "59"  # of 60 requests an hour; 0 in a refusal
_LOOPBACK = re.compile(r"(?i)(127\.0\.0\.1|localhost|\[?::1\]?)(:\d{1,5})?")
_NO_LIMIT = 100_000_000  # requests or tokens a minute: the limit when none is asked for
_LINGER_ZERO = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_NO_FAULT = faults.ok()
_logger = logging.getLogger("mock_server")
# aiohttp logs every malformed request as an error of the server. Here they are lessons,
# so only real errors are shown.
_MALFORMED = (HttpProcessingError, web.RequestPayloadError)
_logger.addFilter(
    lambda entry: not (entry.exc_info and isinstance(entry.exc_info[1], _MALFORMED))
)


@dataclass
class Rule:
    """What to do with every request that matches; None matches anything."""

    method: str | None
    path: str | None
    model: str | None
    fault: Fault | None = None
    latency: float | None = None
    text: str | None = None

    def reply(
        self, *wanted: Fault, latency: float | None = None, text: str | None = None
    ) -> "Rule":
        """Set the faults, the latency in seconds in place of the server's, or the text
        that the model answers with.
        """
        _check_faults(wanted)
        if latency is not None:
            _check_seconds("latency", latency)
        self.fault = functools.reduce(operator.add, wanted) if wanted else None
        self.latency, self.text = latency, text
        return self

    def matches(self, call: Call) -> bool:
        """Say whether this rule is for the call."""
        if self.method not in (None, call.method) or self.path not in (None, call.path):
            return False
        return self.model is None or self.model == call.model


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
    requests_per_minute, tokens_per_minute: the rate limit of chat completions; None for
        none worth the name.
    port: 0 for any free one.
    api_key: the key that it accepts.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_seconds("latency", latency)
        _check_seconds("token_delay", token_delay)
        for name, value in (
            ("requests_per_minute", requests_per_minute),
            ("tokens_per_minute", tokens_per_minute),
        ):
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(
                    f"{name} must be a whole number of at least 1, not {value!r}"
                )
        if not re.fullmatch("[!-~]+", api_key):
            raise ValueError("api_key must be one word of printable ASCII")
        self.seed, self.latency, self.api_key = seed, latency, api_key
        self._token_delay, self._clock = token_delay, clock
        self._limits = (
            requests_per_minute or _NO_LIMIT,
            tokens_per_minute or _NO_LIMIT,
        )
        self._wanted_port, self.port = port, 0
        self._thread: threading.Thread | None = None
        self._log = Log()
        self.reset()

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
        listener = socket.create_server(("127.0.0.1", self._wanted_port), backlog=1024)
        self.port = listener.getsockname()[1]
        self._stopping = False
        is_ready = threading.Event()
        serve = functools.partial(asyncio.run, self._serve(listener, is_ready))
        self._thread = threading.Thread(target=serve, name="mock-server", daemon=True)
        self._thread.start()
        is_ready.wait()
        return self

    def stop(self) -> None:
        """Stop at once, whoever is still connected. Stopping twice does no harm."""
        if self._thread:
            self._stopping = True
            self._loop.call_soon_threadsafe(self._stop_event.set)
            self._thread.join()
            self._thread = None

    async def _serve(self, listener: socket.socket, is_ready: threading.Event) -> None:
        self._loop, self._stop_event = asyncio.get_running_loop(), asyncio.Event()
        server = web.Server(
            self._handle, handler_cancellation=True, access_log=None, logger=_logger
        )
        runner = web.ServerRunner(
            server, shutdown_timeout=0.001
        )  # 0 would wait for ever
        try:
            await runner.setup()
            await web.SockSite(runner, listener, backlog=1024).start()
        finally:
            is_ready.set()
        await self._stop_event.wait()
        await runner.cleanup()

    # --- for the person who runs it ---

    @property
    def url(self) -> str:
        """The address of the server, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The address that an OpenAI client is given."""
        return f"{self.url}/v1"

    def script(self, *steps: Fault) -> None:
        """Say what happens to the next requests, in the order in which they arrive: one
        fault each.
        """
        _check_faults(steps)
        self._script.extend(steps)

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
        self._rules = [
            rule,
            *self._rules,
        ]  # a new list, because a request may be walking through the old one
        return rule

    def chaos(self, share: float, *choices: Fault) -> None:
        """Let one of the faults happen to this share of all requests, from 0 to 1.

        Which requests, and which fault, follows from the seed, the request and its
        attempt number, never from the order
        in which requests arrive: a run with the same seed repeats, and a request that
            is sent again can succeed.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, not {share!r}")
        if not choices:
            raise ValueError("chaos needs at least one fault")
        _check_faults(choices)
        self._chaos = (share, choices)

    def reset(self) -> None:
        """Forget all records, scripts, rules, agents and counts, as if the server had
        just started.
        """
        self._log.clear()
        self._attempts: Counter[str] = Counter()
        self._script: deque[Fault] = deque()
        self._rules: list[Rule] = []
        self._chaos: tuple[float, tuple[Fault, ...]] = (0.0, ())
        self._state = State(
            self.api_key,
            self._token_delay,
            Limiter(*self._limits, self._clock),
            self._models,
        )

    @property
    def records(self) -> list[Record]:
        """The requests that arrived, oldest first: the last 10,000 of them."""
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

    def _models(self) -> list[str]:
        """The names of the models that exist: the usual ones, and those that a rule
        speaks of.
        """
        named = [rule.model for rule in self._rules if rule.model is not None]
        return list(dict.fromkeys([*MODELS, *reversed(named)]))

    # --- one request ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if refused := _refuse_host(request):
            return refused
        if request.path.startswith("/_mock/"):
            return await self._control(request)
        hidden, key = Mask(request.headers, [self.api_key]), _bearer(request)
        record = self._log.open(
            request.transport,
            method=request.method,
            path=hidden.text(request.rel_url.raw_path),
            query=hidden.query(request.rel_url.raw_query_string),
            headers=hidden.headers(request.headers),
            key=mask(key) if key else "",
        )
        try:
            return await self._answer(request, record, hidden)
        except asyncio.CancelledError:
            self._log.close(
                record, "server-stopped" if self._stopping else "client-gone"
            )
            raise
        except ConnectionError:
            self._log.close(record, "client-gone")
            # there is nobody to send it to; to raise would make aiohttp print a
            # traceback
            return web.Response()
        finally:
            self._log.close(
                record, "cut"
            )  # only if it is still open: a defect of the server itself

    async def _answer(
        self, request: web.BaseRequest, record: Record, hidden: Mask
    ) -> web.StreamResponse:
        call, trouble = await self._read(request)
        record.body, record.attempt = hidden.body(call.body)[:BODY_LIMIT], call.attempt
        service, answer = find(call.method, call.path)
        fault, record.source, rule = self._choose(call)
        record.fault = "" if fault == _NO_FAULT else str(fault)
        call.text = rule.text if rule else None
        if fault.refuses:
            reply = Reply()
        elif trouble:
            reply = json_reply(service.error(*trouble), trouble[0])
        else:
            reply = service.check(call) or answer(call)
        if call.limited is not None:
            record.fault, record.source = "rate limit", "limiter"
            reply.headers["Retry-After"] = retry_after_header(call.limited)
        reply.error = service.error
        reply.delay += (
            self.latency if rule is None or rule.latency is None else rule.latency
        )
        self._add_headers(reply, call, service)
        fault.apply(reply)
        if (
            reply.status in (403, 429)
            and reply.headers.get("x-ratelimit-remaining") == GITHUB_REMAINING
        ):
            reply.headers["x-ratelimit-remaining"] = "0"
        return await self._send(request, record, reply)

    async def _read(
        self, request: web.BaseRequest
    ) -> tuple[Call, tuple[int, str] | None]:
        """Read the body and number the attempt; the second value is status and message
        if the body cannot be used.
        """
        body, trouble = b"", None
        if (
            request.headers.get("Expect", "").lower() == "100-continue"
        ):  # RFC 9110, section 10.1.1
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            trouble = (413, "The body is longer than 1 MiB")
        except (web.RequestPayloadError, ValueError) as error:
            trouble = (400, f"The body cannot be read: {error}")
        key = _bearer(request)
        identity = digest(request.method, request.path_qs, key, body)
        self._attempts[identity] += 1
        call = Call(
            state=self._state,
            method=request.method,
            path=request.path,
            query=request.rel_url.raw_query_string,
            headers=request.headers,
            key=key,
            body=body,
            identity=identity,
            attempt=self._attempts[identity],
            host=request.headers["Host"],
        )
        return call, trouble

    def _choose(self, call: Call) -> tuple[Fault, str, Rule | None]:
        """Return the fault for a call, who asked for it, and the rule that matches:
        script before rule before chaos.
        """
        rule = next((rule for rule in self._rules if rule.matches(call)), None)
        script, (share, choices) = self._script, self._chaos
        if script:
            return script.popleft(), "script", rule
        if rule and rule.fault:
            return rule.fault, "rule", rule
        dice = (
            random.Random(f"{self.seed} {call.identity} {call.attempt}")
            if share
            else None
        )
        if dice and dice.random() < share:
            return dice.choice(choices), "chaos", rule
        return _NO_FAULT, "", rule

    def _add_headers(self, reply: Reply, call: Call, service: Service) -> None:
        """Add the headers that the imitated service puts on every reply."""
        if service is OPENAI:
            reply.headers["x-request-id"] = "req_" + digest(call.identity, call.attempt)
            reply.headers["openai-processing-ms"] = str(round(reply.delay * 1000))
            reply.headers["openai-version"] = "2020-10-01"
            reply.headers |= self._state.limiter.headers(call.key)
        elif service is GITHUB:
            reply.headers["x-ratelimit-limit"] = "60"
            reply.headers["x-ratelimit-remaining"] = GITHUB_REMAINING
            reply.headers["x-ratelimit-reset"] = str(int(time.time()) + 3600)

    # --- the bytes ---

    async def _send(
        self, request: web.BaseRequest, record: Record, reply: Reply
    ) -> web.StreamResponse:
        """Send a reply and write down how it ended.

        The record is complete before the last byte leaves.
        """
        if reply.delay:
            await asyncio.sleep(reply.delay)
        end = (
            "complete"
            if reply.ending == "complete"
            else "cut"
            if reply.has_head
            else reply.ending
        )
        response: web.StreamResponse = (
            web.Response()
        )  # aiohttp wants one, even if nothing of it is sent
        if reply.has_head:
            record.status, record.first_byte = reply.status, self._log.now()
            reply.headers["Server"] = "mock"
            if not reply.is_chunked:
                reply.headers["Content-Length"] = str(reply.content_length)
            if request.method == "HEAD" or reply.status in (
                204,
                304,
            ):  # RFC 9110, sections 9.3.2, 15.3.5, 15.4.5
                reply.pieces, reply.is_chunked = [], False
            if reply.is_plain and ("Content-Type" in reply.headers or not reply.body):
                record.sent = len(reply.body)
                self._log.close(record, end)
                return web.Response(
                    status=reply.status, headers=reply.headers, body=reply.body
                )
            # Without a Content-Length, aiohttp sends HTTP chunks, or to HTTP/1.0 all
            # bytes up to the connection's end.
            response = _Response(status=reply.status, headers=reply.headers)
            await response.prepare(request)
        for number, (wait, data) in enumerate(reply.pieces, start=1):
            if wait:
                await asyncio.sleep(wait)
            record.sent += len(data)
            if number == len(reply.pieces) and reply.ending != "hang":
                self._log.close(record, end)
            if data and reply.has_head:
                await response.write(data)
            elif data:
                request.transport.write(data)
        if reply.ending == "hang":
            await asyncio.Event().wait()
        self._log.close(record, end)  # if there was no piece
        if reply.ending != "complete":
            _close(request.transport, reply.ending)
        return response

    # --- the control endpoints, for other processes ---

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """Answer under /_mock/: never recorded, faulted or limited."""
        answer: dict[str, Any] = {"status": "ok"}
        match request.method, request.path:
            case "GET", "/_mock/health":
                pass
            case "GET", "/_mock/records":
                answer = {
                    "records": [record.to_dict() for record in self.records],
                    "peak_open": self.peak_open,
                }
            case "POST", "/_mock/reset":
                self.reset()
            case "POST", "/_mock/script":
                try:
                    steps = [
                        faults.parse(text)
                        for text in json.loads(await request.read())["faults"]
                    ]
                except (
                    ValueError,
                    KeyError,
                    TypeError,
                    AttributeError,
                    RecursionError,
                ) as error:
                    hint = 'send {"faults": ["status(503)", "ok"]}'
                    return _json_response(
                        {"error": f"{error}; {hint}", "valid": sorted(faults.NAMES)},
                        400,
                    )
                self.script(*steps)
                answer["scripted"] = len(steps)
            case _:
                known = "GET /_mock/health, GET /_mock/records, POST /_mock/script, POST /_mock/reset"
                return _json_response(
                    {"error": f"the control endpoints are {known}"}, 404
                )
        return _json_response(answer)


class _Response(web.StreamResponse):
    """A response that goes out without a Content-Type if it was given none; aiohttp
    would add one.
    """

    async def _prepare_headers(self) -> None:
        is_typed = "Content-Type" in self.headers
        await super()._prepare_headers()
        if not is_typed:
            self.headers.popall("Content-Type", None)


def _json_response(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=to_json(value), content_type="application/json"
    )


def _refuse_host(request: web.BaseRequest) -> web.Response | None:
    """Refuse a Host that is not this machine, so that no web page can reach the server
    through a name of its own.
    """
    hosts = request.headers.getall("Host", [""])
    for host in [
        *hosts,
        request.host or hosts[0],
    ]:  # request.host is the one in the request line, if there is one
        if not _LOOPBACK.fullmatch(host):
            sentence = f"this server answers only to 127.0.0.1 and localhost, not to {host[:100]!r}"
            return _json_response({"error": sentence}, 421 if host else 400)
    return None


def _bearer(request: web.BaseRequest) -> str:
    """Return the bearer token of a request (RFC 6750), "" if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _close(transport: asyncio.Transport | None, how: str) -> None:
    """Close a connection: "fin" after everything was sent, "rst" by breaking it off."""
    if transport is None:
        return
    if how == "rst":
        # With a linger time of zero, closing the socket sends a reset; abort() alone
        # would send FIN.
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO
        )
        transport.abort()
    else:
        transport.close()


def _check_faults(steps: tuple[Any, ...]) -> None:
    for step in steps:
        if not isinstance(step, Fault):
            raise TypeError(f"expected a fault such as fault.status(503), not {step!r}")


def _check_seconds(name: str, value: Any) -> None:
    if not faults.is_seconds(value):
        raise ValueError(
            f"{name} must be a number of seconds, 0 or more, not {value!r}"
        )
