"""The live page at /_mock/, and what it is sent while requests arrive."""

import asyncio
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from .plan import Plan
from .records import RECORD_LIMIT, Log, Record
from .reply import event, to_json
from .step import catalogue

PAGE = Path(__file__).with_name("page.html")
_GAP = 0.05  # seconds between two updates
_LOOK = 0.5  # seconds until a script that was changed elsewhere is noticed
# The page loads nothing from elsewhere, and what it shows cannot run.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; connect-src 'self'",
}


def brief(record: Record) -> dict[str, Any]:
    """Return what a row of the page shows; the rest comes when it is opened."""
    return {
        "n": record.n,
        "connection": record.connection,
        "request": record.request,
        "identity": record.identity,
        "attempt": record.attempt,
        "status": record.status,
        "fault": record.fault,
        "source": record.source,
        "received": record.received,
        "first_byte": record.first_byte,
        "ended": record.ended,
        "end": record.end,
        "kind": kind(record),
    }


def kind(record: Record) -> str:
    """Return how a request went, in one word: by that it is counted and coloured."""
    if record.end == "complete":
        hundreds = (record.status or 0) // 100
        return {4: "c4", 5: "c5"}.get(hundreds, "c5" if hundreds > 5 else "good")
    ends = {"": "open", "client-gone": "left", "server-stopped": "stopped"}
    return ends.get(record.end, "broken")


# --- one request ----------------------------------------------------------------------

# A client sets these again.
_ITS_OWN = ("accept-encoding", "connection", "content-length", "expect", "host")


def detail(record: Record, host: str) -> dict[str, Any]:
    """Return all there is to know of a request; host is the address of the server."""
    url = f"http://{host}{record.path}" + (f"?{record.query}" if record.query else "")
    return {
        **record.to_dict(),
        "story": story(record),
        "curl": as_curl(record, url),
        "python": as_python(record, url),
    }


def story(record: Record) -> str:
    """Return in words when a request came, and what became of it."""
    start = record.received
    told = [
        f"It came {start:.2f} s after the server was made, as number "
        f"{record.exchange} on connection {record.connection}."
    ]
    if record.attempt > 1:
        told.append(f"It is try {record.attempt} of the same request.")
    if record.first_byte is not None:
        told.append(f"The reply began after {record.first_byte - start:.3f} s.")
    if record.end:
        told.append(f"It ended after {record.ended - start:.3f} s: {record.end}.")
    else:
        told.append("It is still open.")
    if record.fault:
        told.append(f"Fault: {record.fault}, asked for by the {record.source}.")
    return " ".join(told)


def _to_send(record: Record) -> dict[str, str]:
    """Return the headers to send a request again; a masked key cannot be sent."""
    return {
        name: re.sub(r"\S*…\S*", "YOUR_KEY", value)
        for name, value in record.headers.items()
        if name.lower() not in _ITS_OWN
    }


def as_curl(record: Record, url: str) -> str:
    """Return the command that sends a request again from a shell (POSIX)."""
    how = {"GET": "", "HEAD": " --head"}.get(record.method, f" -X {record.method}")
    parts = [f"curl{how} {shlex.quote(url)}"]
    for name, value in _to_send(record).items():
        parts.append(f"-H {shlex.quote(f'{name}: {value}')}")
    if record.body:
        body = record.body.decode("utf-8", "replace")
        parts.append(f"--data-raw {shlex.quote(body)}")
    return " \\\n  ".join(parts)


def as_python(record: Record, url: str) -> str:
    """Return the program that sends a request again."""
    arguments = [repr(record.method), repr(url), f"headers={_to_send(record)!r}"]
    if record.body:
        arguments.append(f"data={record.body!r}")
    arguments.append("timeout=10")
    inside = "".join(f"    {argument},\n" for argument in arguments)
    shown = "print(response.status_code, response.text)"
    return f"import requests\n\nresponse = requests.request(\n{inside})\n{shown}\n"


# --- as it happens --------------------------------------------------------------------


class Watcher:
    """Collects what changes in a log until one open page is told.

    is_new: True if the page has to start again, with all records.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.is_new, self.changed = True, dict[int, Record]()
        self.has_news = asyncio.Event()
        self.has_news.set()

    def add(self, record: Record) -> None:
        """Take a record that is new or has changed; only the server's thread calls."""
        self.changed[record.n] = record
        if len(self.changed) > RECORD_LIMIT:  # the page is too slow
            self._begin_anew()
        self.has_news.set()

    def begin_anew(self) -> None:
        """Forget what was collected, from any thread."""
        self._loop.call_soon_threadsafe(self._begin_anew)

    def _begin_anew(self) -> None:
        self.is_new, self.changed = True, {}
        self.has_news.set()


class Live:
    """Answers what the live page asks for.

    advise: returns the advice to the client.
    """

    def __init__(self, log: Log, plan: Plan, advise: Callable[[], list[str]]) -> None:
        self._log, self._plan, self._advise = log, plan, advise

    def page(self) -> web.Response:
        """Return the page itself."""
        return web.Response(
            body=PAGE.read_bytes(),
            content_type="text/html",
            charset="utf-8",
            headers=_HEADERS,
        )

    def faults(self) -> list[dict[str, Any]]:
        """Return every fault: its name, its amounts, and what it does."""
        return [
            {
                "name": name,
                "about": about,
                "amounts": [
                    {
                        "name": one.name,
                        "is_named": one.kind is one.KEYWORD_ONLY,
                        "usual": "" if one.default is one.empty else repr(one.default),
                    }
                    for one in amounts
                ],
            }
            for name, amounts, about in sorted(catalogue(), key=lambda one: one[0])
        ]

    async def advice(self) -> list[str]:
        """Return the advice to the client; nobody waits while it is worked out."""
        return await asyncio.to_thread(self._advise)

    async def events(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send an event stream: `hello` with all records, then an `update` with those
        that arrived, began to be answered or ended, at most 20 a second; `hello` again
        after a reset.
        """
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        watcher, waiting = Watcher(), -1
        # That the page is closed shows when something is written to it.
        with self._log.watched_by(watcher), suppress(ConnectionError):
            while True:
                try:
                    await asyncio.wait_for(watcher.has_news.wait(), _LOOK)
                except TimeoutError:
                    if waiting == self._plan.waiting:
                        continue
                watcher.has_news.clear()
                name = "hello" if watcher.is_new else "update"
                changed = watcher.changed.values()
                records = self._log.all() if watcher.is_new else list(changed)
                watcher.is_new, watcher.changed = False, {}
                waiting = self._plan.waiting
                data = await asyncio.to_thread(self._news, records, waiting)
                await response.write(f"event: {name}\n".encode() + event(data))
                await asyncio.sleep(_GAP)
        return response

    def _news(self, records: list[Record], waiting: int) -> bytes:
        return to_json(
            {
                "now": self._log.now(),
                "open": self._log.open_now,
                "peak_open": self._log.peak_open,
                "waiting": waiting,
                "records": [brief(record) for record in records],
            }
        )
