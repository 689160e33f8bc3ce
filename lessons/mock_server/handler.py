"""One request, from its bytes to the bytes of the reply.

The way is read → choose a fault → answer → apply the fault → send. The record of the
request is opened before it and closed with the last byte.
"""

import asyncio
import functools
import hashlib
import math
import re
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from .call import Call, State, read_json
from .control import Control, json_response
from .dialect import Dialect
from .plan import NO_FAULT, Plan
from .records import Log, Mask, Record, mask, secrets_in
from .reply import Piece, Reply, digest
from .routes import Answer, find

_LOOPBACK = re.compile(r"(?i)(127\.0\.0\.1|localhost|\[?::1\]?)(:\d{1,5})?")
_LINGER_ZERO = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


# What has more to do than this (see Reply.size) is done in another thread.
_LARGE = 20_000
_TOGETHER = 16_000  # bytes of a stream that are sent at once
_PATIENCE = 0.005  # seconds that one reply is sent before others have their turn


class Handler:
    """Answers the requests to one server, between start() and stop().

    idle: the connections that wait for another request, and since when (loop time).
    waiting: those on which a reply waits, because a fault or a latency says so.
    ending: those whose client sends no more, and until when they are kept (loop time).
    control: answers the control endpoints; None for a server that has none.
    """

    def __init__(self, log: Log, plan: Plan, state: State, control: Control) -> None:
        self._log, self._plan, self._state = log, plan, state
        self.control: Control | None = control

    def start(self) -> None:
        """Be ready for requests."""
        self._is_stopping = False
        self.idle: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self.ending: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self.waiting: set[Any] = set()
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="mock-server-worker")

    def stop(self) -> None:
        """Say that the connections are about to be closed."""
        self._is_stopping = True
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, and write down how that ended."""
        transport = request.transport
        if transport is None:  # the client has gone already
            return web.Response()
        self.idle.pop(transport, None)
        try:
            return await self._handle(request)
        finally:
            self.idle[transport] = asyncio.get_running_loop().time()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if refused := _refuse_host(request):
            return refused
        if self.control and self.control.is_for(request):
            return await self.control.answer(request)
        secrets = secrets_in(request.rel_url.raw_query_string)
        hidden = Mask(request.headers, [self._state.api_key, *secrets])
        key = _key(request)
        record = self._log.open(
            request.transport,
            method=request.method,
            path=hidden.text(request.rel_url.raw_path),
            query=hidden.query(request.rel_url.raw_query_string),
            headers=hidden.headers(request.headers),
            key=mask(key) if key else "",
        )
        try:
            body, trouble = await _read(request)
            self._log.keep_body(record, hidden, body)
            reply = await self._answer(request, record, body, trouble)
            return await self._send(request, record, hidden, reply)
        except asyncio.CancelledError:
            end = "server-stopped" if self._is_stopping else "client-gone"
            self._log.close(record, end)
            raise
        except ConnectionError:
            self._log.close(record, "client-gone")
            # Nobody is left to send it to; raised, it would be logged as our error.
            return web.Response()
        finally:
            # It is open only after a defect of the server itself.
            self._log.close(record, "cut")

    async def _do(self, size: int, work: Callable[..., Any], *args: Any) -> Any:
        """Do some work; if it is large, then in another thread, so that nobody waits
        for it but the client who asked.
        """
        if size <= _LARGE:
            return work(*args)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, work, *args)

    async def _answer(
        self,
        request: web.BaseRequest,
        record: Record,
        body: bytes,
        trouble: tuple[int, str] | None,
    ) -> Reply:
        """Return the reply, with the faults that were chosen for it."""
        value = await self._do(len(body), read_json, body)
        rule = self._plan.rule_for(request.method, request.path, value)
        key = _key(request)
        about = body if len(body) <= _LARGE else hashlib.blake2b(body).digest()
        identity = digest(request.method, request.path_qs, key, about)
        call = Call(
            state=self._state,
            method=request.method,
            path=request.path,
            query=request.rel_url.raw_query_string,
            headers=request.headers,
            key=key,
            body=body,
            json=value,
            identity=identity,
            attempt=self._state.count_attempt(identity),
            host=request.headers["Host"],
            text=rule.text,
        )
        fault, source = self._plan.choose(call, rule)
        record.attempt, record.identity = call.attempt, call.identity
        record.fault, record.source = "" if fault == NO_FAULT else str(fault), source
        self._log.tell(record)
        dialect, answer = find(call.method, call.path)
        if fault.refuses:
            reply = Reply()
        elif trouble:
            reply = dialect.fail(*trouble, **dialect.about(call))
        else:
            reply = dialect.check(call) or await self._carry_out(call, dialect, answer)
        record.replayed = reply.is_replayed
        if reply.is_limited:
            record.fault, record.source = "rate limit", "limiter"
        reply.delay += self._state.latency if rule.latency is None else rule.latency
        for name, text in dialect.headers(call, reply).items():
            reply.headers.setdefault(name, text)
        reply.error = functools.partial(dialect.error, **dialect.about(call))
        reply.error_headers = dialect.error_headers
        reply.error_event, reply.quota = dialect.error_event, dialect.quota
        reply.forms = dialect.forms
        for step in fault.in_order():
            await self._do(max(reply.size, len(step.text)), step.apply, reply)
        return reply

    async def _carry_out(self, call: Call, dialect: Dialect, answer: Answer) -> Reply:
        """Return the answer to a call; with an Idempotency-Key it is made only once."""
        size = dialect.weight * (len(call.body) + 8 * len(call.text or ""))
        work = functools.partial(self._do, size, answer, call)
        name = call.headers.get("Idempotency-Key")
        if name is None or call.method != "POST":
            return await work()
        if not name.strip():
            message = "The header Idempotency-Key is empty; give each request its own"
            return dialect.fail(400, message, **dialect.about(call))
        place = digest(call.key, name)
        reply = await self._state.answers.once(place, call.identity, work)
        if reply is None:
            message = "This Idempotency-Key came with another request before; "
            message += "use a new key for each request, and the same for its retries"
            reply = dialect.fail(409, message, **dialect.about(call))
            # Clients that try again after a 409 would get another 409.
            reply.headers["x-should-retry"] = "false"
        return reply

    async def _wait(self, transport: Any, seconds: float) -> None:
        """Wait with a reply; for ever if seconds is infinity.

        A connection that is closed before the wait is over is closed now.
        """
        loop = asyncio.get_running_loop()
        if loop.time() + seconds > self.ending.get(transport, math.inf):
            transport.close()
        self.waiting.add(transport)
        try:
            if seconds == math.inf:
                await asyncio.Event().wait()
            await asyncio.sleep(seconds)
        finally:
            self.waiting.discard(transport)

    async def _send(
        self, request: web.BaseRequest, record: Record, hidden: Mask, reply: Reply
    ) -> web.StreamResponse:
        """Send a reply and write down how it ended.

        The record is complete before the last byte leaves.
        """
        if reply.delay:
            await self._wait(request.transport, reply.delay)
        if reply.ending == "complete":
            end = "complete"
        else:
            end = "cut" if reply.has_head else reply.ending
        if reply.has_head:
            reply.headers["Server"] = "mock"
            if not reply.is_chunked:
                reply.headers["Content-Length"] = str(reply.content_length)
            # No body after these: RFC 9110, sections 9.3.2, 15.3.5 and 15.4.5.
            if request.method == "HEAD" or reply.status in (204, 304):
                reply.pieces, reply.is_chunked = [], False
        self._log.begin(record, hidden, reply)
        if reply.has_head:
            if reply.is_plain:
                record.sent = len(reply.body)
                self._log.close(record, end)
                return web.Response(
                    status=reply.status, headers=reply.headers, body=reply.body
                )
            # Without a Content-Length, aiohttp sends HTTP chunks, or to HTTP/1.0 all
            # bytes up to the connection's end.
            response = _Response(status=reply.status, headers=reply.headers)
            await response.prepare(request)
        else:  # aiohttp wants a response, even if nothing of it is sent
            response = web.Response()
        is_chunked = response.headers.get("Transfer-Encoding") == "chunked"
        turn_ends = time.monotonic() + _PATIENCE
        # Taken from the list one by one: to free a million pieces at once takes long.
        pieces, reply.pieces = deque(reply.pieces), []
        while pieces:
            wait, data = pieces.popleft()
            if wait or time.monotonic() > turn_ends:
                await self._wait(request.transport, wait)
                turn_ends = time.monotonic() + _PATIENCE
            if is_chunked and not wait:
                data = _send_together(request.transport, data, pieces, record)
            record.sent += len(data)
            record.last_byte, record.is_blocked = self._log.now(), bool(pieces)
            if not pieces and reply.ending != "hang":
                self._log.close(record, end)
            if data and reply.has_head:
                await response.write(data)
            elif data:
                request.transport.write(data)
            record.is_blocked = False
        if reply.ending == "hang":
            await self._wait(request.transport, math.inf)
        self._log.close(record, end)  # if there was no piece
        if reply.ending != "complete":
            _close(request.transport, reply.ending)
        return response


def _send_together(
    transport: asyncio.Transport, data: bytes, pieces: deque[Piece], record: Record
) -> bytes:
    """Send a piece of a chunked body, and what follows without a wait, up to a limit.

    Each piece stays a chunk of its own (RFC 9112, section 7.1); only the calls of the
    system are fewer. The last piece is returned, for aiohttp to send.
    """
    if not record.sent:  # aiohttp sends the head together with the first piece
        return data
    chunks: list[bytes] = []
    size = 0
    while pieces and not pieces[0][0] and size < _TOGETHER:
        if data:
            chunks.append(b"%x\r\n%b\r\n" % (len(data), data))
        size += len(data) + 8
        record.sent += len(data)
        data = pieces.popleft()[1]
    if chunks:
        transport.write(b"".join(chunks))
    return data


class _Response(web.StreamResponse):
    """A response that goes out without a Content-Type if it was given none; aiohttp
    would add one.
    """

    async def _prepare_headers(self) -> None:
        is_typed = "Content-Type" in self.headers
        await super()._prepare_headers()
        if not is_typed:
            self.headers.popall("Content-Type", None)


def _refuse_host(request: web.BaseRequest) -> web.Response | None:
    """Refuse a Host that is not this machine, so that no web page can reach the server
    through a name of its own.
    """
    hosts = request.headers.getall("Host", [""])
    # request.host is the one in the request line, if there is one.
    for host in [*hosts, request.host or hosts[0]]:
        if not _LOOPBACK.fullmatch(host):
            message = "this server answers only to 127.0.0.1 and localhost"
            error = {"error": f"{message}, not to {host[:100]!r}"}
            return json_response(error, 421 if host else 400)
    return None


def _key(request: web.BaseRequest) -> str:
    """Return the API key of a request, "" if it has none."""
    dialect, _ = find(request.method, request.path)
    return dialect.key(request.headers)


async def _read(request: web.BaseRequest) -> tuple[bytes, tuple[int, str] | None]:
    """Return the body; the second value is status and message if it cannot be used."""
    # RFC 9110, section 10.1.1
    if request.headers.get("Expect", "").lower() == "100-continue":
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        return await request.read(), None
    except web.HTTPRequestEntityTooLarge:
        return b"", (413, "The body is longer than 4 MiB")
    except (web.RequestPayloadError, ValueError) as error:
        return b"", (400, f"The body cannot be read: {error}")


def _close(transport: asyncio.Transport | None, how: str) -> None:
    """Close a connection: "fin" after everything was sent, "rst" by breaking it off."""
    if transport is None:
        return
    if how == "rst":
        # With a linger time of zero, closing the socket sends a reset; abort() alone
        # would send FIN.
        its_socket = transport.get_extra_info("socket")
        its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()
    else:
        transport.close()
