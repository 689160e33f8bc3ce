"""What the rules of advice.py look at: the records, and which request repeats which."""

import itertools
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from .records import Record

AT_ONCE = 0.01  # seconds: a shorter time is not a pause
_SAME = 0.03  # pauses that differ by less than this share, and AT_ONCE, are the same
_SERIES_ENDS = 60.0  # seconds: what comes later is a new beginning


class Seen(NamedTuple):
    """What a server has seen.

    records: the requests, oldest first.
    now: the seconds on the clock of the records.
    started: the time, in seconds since 1970, when that clock was at 0.
    limit: how many requests a minute each key may send; None for no limit.
    key: the key that the server accepts, masked.
    """

    records: list[Record]
    now: float
    started: float = 0.0
    limit: int | None = None
    key: str = ""


def numbers(records: Iterable[Record]) -> str:
    """Return the numbers of some requests, the first five of them if there are more."""
    all_of_them = sorted({record.n for record in records})
    shown = ", ".join(map(str, all_of_them[:5]))
    more = f" and {len(all_of_them) - 5} more" if len(all_of_them) > 5 else ""
    return f"request{'s' if len(all_of_them) > 1 else ''} {shown}{more}"


def is_broken(record: Record) -> bool:
    """Say whether a reply did not come, or not to its end."""
    return record.end in ("rst", "fin", "cut", "client-gone")


def has_failed(record: Record) -> bool:
    """Say whether a request may be worth another try."""
    status = record.status or 0
    return is_broken(record) or status in (408, 409, 429) or status >= 500


def header(record: Record, name: str) -> str | None:
    """Return a header of the reply, whatever the case of its name."""
    found = {key.lower(): value for key, value in record.reply_headers.items()}
    return found.get(name)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def asked_wait(seen: Seen, record: Record) -> float | None:
    """Return for how many seconds a reply asked the client to wait, None if it did not:
    Retry-After (RFC 9110, section 10.2.3), or retry-after-ms, which OpenAI's SDK obeys.
    """
    milliseconds = _number(header(record, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = header(record, "retry-after")
    if text is None or (seconds := _number(text)) is not None:
        return None if text is None else seconds
    try:
        until = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
    # A date has whole seconds, so it may have been rounded up.
    return until - 1 - (seen.started + record.first_byte)


def pause(before: Record, after: Record) -> float:
    """Return the seconds from the end of one request to the arrival of another."""
    return after.received - before.ended


def pairs(seen: Seen) -> list[tuple[Record, Record]]:
    """Return each request with the one that repeats it.

    Where equal requests were open at once, nobody can tell which one repeats which, so
    all of them are left out.
    """
    groups: dict[str, list[Record]] = {}
    for record in seen.records:
        if record.identity:
            groups.setdefault(record.identity, []).append(record)
    repeated = []
    for group in groups.values():
        found = list(itertools.pairwise(group))
        if all(one.end and one.ended <= two.received for one, two in found):
            repeated += [pair for pair in found if pause(*pair) < _SERIES_ENDS]
    return repeated


def series(seen: Seen) -> list[list[tuple[Record, Record]]]:
    """Return the tries of each request that failed: pairs of a try and the next one.

    Pauses that the server asked for are left out.
    """
    by_last: dict[int, list[tuple[Record, Record]]] = {}  # number of the last try
    for one, two in pairs(seen):
        if has_failed(one) and asked_wait(seen, one) is None:
            by_last[two.n] = by_last.pop(one.n, [])
            by_last[two.n].append((one, two))
    return list(by_last.values())


def median(values: list[float]) -> float:
    """Return the middle value; the module statistics takes long to import."""
    return sorted(values)[len(values) // 2]


def are_same(pauses: list[float]) -> bool:
    """Say whether pauses are as long as each other, apart from what a clock adds."""
    most = AT_ONCE + _SAME * median(pauses)
    return max(pauses) - min(pauses) <= most


def records_of(repeated: Iterable[tuple[Record, Record]]) -> list[Record]:
    """Return the requests of some pairs."""
    return [record for pair in repeated for record in pair]


def is_stream(record: Record) -> bool:
    """Say whether the reply is an event stream."""
    kind = header(record, "content-type") or ""
    return kind.startswith("text/event-stream")


def by_key(seen: Seen) -> list[list[Record]]:
    """Return the requests that count against the rate limit, of each key."""
    keys: dict[str, list[Record]] = {}
    for record in seen.records:
        if record.key and record.path.startswith("/v1/"):
            keys.setdefault(record.key, []).append(record)
    return list(keys.values())
