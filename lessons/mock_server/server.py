"""The server: a real HTTP/1.1 server on 127.0.0.1, in a thread of its own."""

import asyncio
import json
import logging
import random
import socket
import struct
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from . import fault as faults
from .call import Call, State
from .fault import Fault
from .limiter import Limiter
from .openai_api import MODELS, check_key
from .records import BODY_LIMIT, Record, mask, mask_headers, mask_query, table
from .reply import Reply, digest, json_reply, retry_after_header, to_json
from .routes import GITHUB, OPENAI, Service, find

RECORD_LIMIT = 10_000
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
_NO_LIMIT = 100_000_000  # requests or tokens a minute: the limit when none is asked for
_LINGER_ZERO = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_logger = logging.getLogger("mock_server")
# aiohttp logs every malformed request as an error of the server. Here they are lessons, so only real errors are shown.
_logger.addFilter(lambda entry: not (entry.exc_info and isinstance(entry.exc_info[1], HttpProcessingError)))


class Rule:
    """What to do with every request that matches; None matches anything."""

    def __init__(self, method: str | None, path: str | None, model: str | None) -> None:
        self.method, self.path, self.model = method, path, model
        self.fault: Fault = faults.ok()
        self.latency: float | None = None
        self.text: str | None = None

    def reply(self, *wanted: Fault, latency: float | None = None, text: str | None = None) -> "Rule":
        """Set the faults, the latency in seconds in place of the server's, or the text that the model answers with."""
        self.fault = _compose(wanted)
        self.latency, self.text = latency, text
        return self

    def matches(self, call: Call) -> bool:
        """Say whether this rule is for the call."""
        if self.method not in (None, call.method) or self.path not in (None, call.path):
            return False
        body = call.json() if self.model is not None else None
        return self.model is None or (isinstance(body, dict) and body.get("model") == self.model)


class MockServer:
    """An HTTP server on this machine that plays an API and breaks on demand.

        with MockServer(latency=0.2) as server:
            server.script(fault.status(503), fault.ok())
            ...
            server.show()

    seed: decides the chaos, so that a run can be repeated.
    latency: seconds before each reply.
    token_delay: seconds that the mock model takes for each token of an answer, streamed or not.
    requests_per_minute, tokens_per_minute: the rate limit of each key under /v1; None for no limit worth the name.
    port: 0 for any free one.
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
        for name, value in (("latency", latency), ("token_delay", token_delay)):
            if value < 0:
                raise ValueError(f"{name} must be 0 seconds or more, not {value!r}")
        for name, value in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value!r}")
        self.seed, self.latency, self.api_key = seed, latency, api_key
        self._token_delay, self._clock = token_delay, clock
        self._limits = (requests_per_minute or _NO_LIMIT, tokens_per_minute or _NO_LIMIT)
        self._wanted_port, self.port = port, 0
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._started = time.monotonic()
        self.reset()

    # --- life ---

    def __enter__(self) -> "MockServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> "MockServer":
        """Start serving; the server is ready when this returns. Raises OSError if the port is taken."""
        if self._thread:
            raise RuntimeError("this server is running already")
        listener = socket.create_server(("127.0.0.1", self._wanted_port), backlog=1024)
        self.port = listener.getsockname()[1]
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._stop_event = asyncio.Event()
        is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener, is_ready), name="mock-server", daemon=True)
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

    def _run(self, listener: socket.socket, is_ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener, is_ready))

    async def _serve(self, listener: socket.socket, is_ready: threading.Event) -> None:
        server = web.Server(self._handle, handler_cancellation=True, access_log=None, logger=_logger)
        runner = web.ServerRunner(server, shutdown_timeout=0.001)  # 0 would wait for ever
        await runner.setup()
        await web.SockSite(runner, listener, backlog=1024).start()
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
        """Say what happens to the next requests, in the order in which they arrive: one fault each."""
        _check_faults(steps)
        self._script.extend(steps)

    def on(self, *, method: str | None = None, path: str | None = None, model: str | None = None) -> Rule:
        """Make a standing rule for the requests that match; the newest matching rule wins. Say what it does with reply()."""
        rule = Rule(method, path, model)
        self._rules.appendleft(rule)
        return rule

    def chaos(self, share: float, *choices: Fault) -> None:
        """Let one of the faults happen to this share of all requests, from 0 to 1.

        Which requests, and which fault, follows from the seed, the request and its attempt number, never from the order
        in which requests arrive: a run with the same seed repeats, and a request that is sent again can succeed.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, not {share!r}")
        if not choices:
            raise ValueError("chaos needs at least one fault")
        _check_faults(choices)
        self._chaos = (share, choices)

    def reset(self) -> None:
        """Forget all records, scripts, rules, agents and counts, as if the server had just started."""
        with self._lock:
            self._records: deque[Record] = deque(maxlen=RECORD_LIMIT)
            self._count = self._open = self.peak_open = 0
            self._attempts: Counter[str] = Counter()
            self._connections: weakref.WeakKeyDictionary[Any, list[int]] = weakref.WeakKeyDictionary()
            self._script: deque[Fault] = deque()
            self._rules: deque[Rule] = deque()
            self._chaos: tuple[float, tuple[Fault, ...]] = (0.0, ())
            self._connection_count = 0
            self._state = State(self.api_key, self._token_delay, Limiter(*self._limits, self._clock), self._models)

    @property
    def records(self) -> list[Record]:
        """The requests that arrived, oldest first: the last 10,000 of them."""
        with self._lock:
            return list(self._records)

    def wait_for(self, count: int, timeout: float = 2.0) -> list[Record]:
        """Wait until count requests have arrived and ended; return the records. Raises TimeoutError after timeout seconds."""

        def is_done() -> bool:
            return self._count >= count and self._count - self._open >= count

        with self._lock:
            if not self._lock.wait_for(is_done, timeout):
                raise TimeoutError(
                    f"after {timeout} s, {self._count} of {count} requests had arrived and {self._open} of them had not ended"
                )
            return list(self._records)

    def show(self, last: int | None = None) -> None:
        """Print the records as a table, or only the last few.

        A request that a client has just given up on is noticed a moment later, so this waits up to 0.2 s for open requests to end.
        """
        with self._lock:
            self._lock.wait_for(lambda: self._open == 0, 0.2)
            records = list(self._records)
        print(table(records[-last:] if last else records))

    def _models(self) -> list[str]:
        """The names of the models that exist: the usual ones, and those that a rule speaks of."""
        named = [rule.model for rule in self._rules if rule.model is not None]
        return list(dict.fromkeys([*MODELS, *reversed(named)]))

    # --- one request ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if refused := _refuse_host(request):
            return refused
        if request.path.startswith("/_mock/"):
            return await self._control(request)
        record = self._open_record(request)
        try:
            return await self._answer(request, record)
        except asyncio.CancelledError:
            self._close_record(record, "server-stopped" if self._stopping else "client-gone")
            raise
        except ConnectionError:
            self._close_record(record, "client-gone")
            raise
        finally:
            self._close_record(record, "cut")  # only if it is still open: a defect of the server itself

    def _open_record(self, request: web.BaseRequest) -> Record:
        key = _bearer(request)
        with self._lock:
            if request.transport not in self._connections:
                self._connection_count += 1
                self._connections[request.transport] = [self._connection_count, 0]
            place = self._connections[request.transport]
            place[1] += 1
            self._count += 1
            self._open += 1
            self.peak_open = max(self.peak_open, self._open)
            record = Record(
                n=self._count,
                method=request.method,
                path=_hide(request.rel_url.raw_path, key),
                query=mask_query(_hide(request.rel_url.raw_query_string, key)),
                headers=mask_headers(request.headers),
                key=mask(key) if key else "",
                connection=place[0],
                exchange=place[1],
                received=time.monotonic() - self._started,
            )
            self._records.append(record)
        return record

    def _close_record(self, record: Record, end: str) -> None:
        with self._lock:
            if not record.end:
                record.end, record.ended = end, time.monotonic() - self._started
                self._open -= 1
                self._lock.notify_all()

    async def _answer(self, request: web.BaseRequest, record: Record) -> web.StreamResponse:
        call, trouble = await self._read(request, record)
        service, answer = find(call.method, call.path)
        fault, record.source, rule = self._choose(call)
        record.fault = "" if isinstance(fault, faults.ok) else str(fault)
        call.text = rule.text if rule else None
        refused = trouble or (check_key(call) if service.needs_key else None)
        if fault.refuses:
            reply = Reply()
        else:
            reply = refused or answer(call)
        if call.limited is not None:
            record.fault, record.source = "rate limit", "limiter"
            reply.headers["Retry-After"] = retry_after_header(call.limited)
        reply.error = service.error
        reply.delay += self.latency if rule is None or rule.latency is None else rule.latency
        self._add_headers(reply, call, service)
        fault.apply(reply)
        return await self._send(request, record, reply)

    async def _read(self, request: web.BaseRequest, record: Record) -> tuple[Call, Reply | None]:
        """Read the body and number the attempt; the second value is the reply if the body cannot be used."""
        body, trouble = b"", None
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            trouble = json_reply({"message": "The body is longer than 1 MiB"}, 413)
        except (web.RequestPayloadError, ValueError) as error:
            trouble = json_reply({"message": f"The body cannot be read: {error}"}, 400)
        key = _bearer(request)
        identity = digest(request.method, request.path_qs, key, body)
        self._attempts[identity] += 1
        record.body = _hide_bytes(body, key)[:BODY_LIMIT]
        record.attempt = self._attempts[identity]
        call = Call(
            state=self._state,
            method=request.method,
            path=request.path,
            query=request.rel_url.raw_query_string,
            headers=request.headers,
            key=key,
            body=body,
            identity=identity,
            attempt=record.attempt,
            host=request.headers["Host"],
        )
        return call, trouble

    def _choose(self, call: Call) -> tuple[Fault, str, Rule | None]:
        """Return the fault for a call, who asked for it, and the rule that matches: script before rule before chaos."""
        rule = next((rule for rule in self._rules if rule.matches(call)), None)
        if self._script:
            return self._script.popleft(), "script", rule
        if rule and not isinstance(rule.fault, faults.ok):
            return rule.fault, "rule", rule
        share, choices = self._chaos
        if share:
            dice = random.Random(f"{self.seed} {call.identity} {call.attempt}")
            if dice.random() < share:
                return dice.choice(choices), "chaos", rule
        return faults.ok(), "", rule

    def _add_headers(self, reply: Reply, call: Call, service: Service) -> None:
        """Add the headers that the imitated service puts on every reply."""
        if service is OPENAI:
            reply.headers["x-request-id"] = "req_" + digest(call.identity, call.attempt)
            reply.headers["openai-processing-ms"] = str(round(reply.delay * 1000))
            reply.headers["openai-version"] = "2020-10-01"
            reply.headers |= self._state.limiter.headers(call.key)
        elif service is GITHUB:
            reply.headers["x-ratelimit-limit"] = "60"
            reply.headers["x-ratelimit-remaining"] = "59"
            reply.headers["x-ratelimit-reset"] = str(int(time.time()) + 3600)

    # --- the bytes ---

    async def _send(self, request: web.BaseRequest, record: Record, reply: Reply) -> web.StreamResponse:
        """Send a reply and write down how it ended. The record is complete before the last byte leaves."""
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if not reply.has_head:
            return await self._end_without_head(request, record, reply)
        record.status, record.first_byte = reply.status, time.monotonic() - self._started
        reply.headers["Server"] = "mock"
        is_simple = reply.ending == "complete" and not reply.is_chunked and len(reply.pieces) < 2
        if is_simple and not (reply.pieces and reply.pieces[0][0]):
            response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
            await response.prepare(request)
            record.sent = len(reply.body)
        else:
            response = web.StreamResponse(status=reply.status, headers=reply.headers)
            if reply.is_chunked:
                response.enable_chunked_encoding()
            else:
                response.content_length = reply.length if reply.length is not None else len(reply.body)
            await response.prepare(request)
            for wait, data in reply.pieces:
                if wait:
                    await asyncio.sleep(wait)
                if data:
                    await response.write(data)
                    record.sent += len(data)
        if reply.ending == "hang":
            await asyncio.Event().wait()
        elif reply.ending in ("fin", "rst"):
            self._close_record(record, "cut")
            _close(request.transport, reply.ending)
        else:
            self._close_record(record, "complete")
            await response.write_eof()
        return response

    async def _end_without_head(self, request: web.BaseRequest, record: Record, reply: Reply) -> web.StreamResponse:
        if reply.ending == "hang":
            await asyncio.Event().wait()
        self._close_record(record, reply.ending)
        for _, data in reply.pieces:
            request.transport.write(data)
            record.sent += len(data)
        _close(request.transport, reply.ending)
        return web.Response()  # aiohttp wants one; the connection is closed, so nothing of it is sent

    # --- the control endpoints, for other processes ---

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """Answer under /_mock/: never recorded, faulted or limited."""
        wanted = f"{request.method} {request.path.removeprefix('/_mock/')}"
        if wanted == "GET health":
            return _json_response({"status": "ok"})
        if wanted == "GET records":
            return _json_response(
                {"records": [record.to_dict() for record in self.records], "peak_open": self.peak_open}
            )
        if wanted == "POST reset":
            self.reset()
            return _json_response({"status": "ok"})
        if wanted == "POST script":
            try:
                texts = json.loads(await request.read())["faults"]
                self.script(*[faults.parse(text) for text in texts])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                hint = 'send {"faults": ["status(503)", "ok"]}'
                return _json_response({"error": f"{error}; {hint}", "valid": sorted(faults.NAMES)}, 400)
            return _json_response({"status": "ok", "scripted": len(texts)})
        known = "GET /_mock/health, GET /_mock/records, POST /_mock/script, POST /_mock/reset"
        return _json_response({"error": f"the control endpoints are {known}"}, 404)


def _json_response(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=to_json(value), content_type="application/json")


def _refuse_host(request: web.BaseRequest) -> web.Response | None:
    """Refuse a Host that is not this machine, so that no web page can reach the server through a name of its own."""
    host = request.headers.get("Host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name.lower() in LOOPBACK:
        return None
    status = 421 if host else 400
    return _json_response(
        {"error": f"this server answers only to 127.0.0.1 and localhost, not to {host[:100]!r}"}, status
    )


def _bearer(request: web.BaseRequest) -> str:
    """Return the bearer token of a request (RFC 6750), "" if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _close(transport: asyncio.Transport | None, how: str) -> None:
    """Close a connection: "fin" after everything was sent, "rst" by breaking it off."""
    if transport is None:
        return
    if how == "rst":
        # With a linger time of zero, closing the socket sends a reset; abort() alone would send FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()
    else:
        transport.close()


def _hide(text: str, key: str) -> str:
    return text.replace(key, mask(key)) if key and key in text else text


def _hide_bytes(data: bytes, key: str) -> bytes:
    return data.replace(key.encode(), mask(key).encode()) if key else data


def _check_faults(steps: tuple[Any, ...]) -> None:
    for step in steps:
        if not isinstance(step, Fault):
            raise TypeError(f"expected a fault such as fault.status(503), not {step!r}")


def _compose(wanted: tuple[Fault, ...]) -> Fault:
    _check_faults(wanted)
    return wanted[0] if len(wanted) == 1 else faults.Composed(wanted) if wanted else faults.ok()
