"""Manners: what a server thinks of a client, worked out from its records.

Each rule is a function of what was seen. It returns a sentence with the numbers of the
requests that it rests on, or None, and None too if it cannot tell. RULES lists them.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable

from .records import Record
from .seen import (
    AT_ONCE,
    Seen,
    are_same,
    asked_wait,
    by_key,
    header,
    is_broken,
    is_stream,
    median,
    numbers,
    pairs,
    pause,
    records_of,
    series,
)

_REFUSED = {
    400: "the request itself is wrong",
    401: "the key is wrong",
    403: "the key may not do this",
    404: "there is nothing at that address",
    422: "the request itself is wrong",
}
_BY_HAND = 5.0  # seconds after which a person may have sent a request again
_MANY_CLIENTS = 8
_MANY_CONNECTIONS = 10
_PATIENCE = 60.0  # seconds without a byte; clients with a timeout have mostly left
_NOT_READ = 10.0  # seconds for which a client takes no bytes that are ready
_LEFT_AT_ONCE = 0.1  # seconds after a byte; who leaves later may have had a timeout
_LONG_ABOVE = 5.0  # seconds
_KEY_IN_QUERY = re.compile(
    r"(?i)(^|&)(api[_-]?key|access[_-]?token)=[^&]{4}…|=(sk-|AIza)[^&]*…"
)


def too_soon(seen: Seen) -> str | None:
    """Asked again sooner than Retry-After allowed."""
    found = []
    for one, two in pairs(seen):
        asked = asked_wait(seen, one)
        if asked and two.received - one.first_byte < asked - 0.05:
            found.append((one, two, asked))
    if not found:
        return None
    one, two, asked = found[0]
    waited = two.received - one.first_byte
    return (
        f"Your client asked again after {waited:.1f} s where Retry-After said "
        f"{asked:.0f} s: wait at least that long "
        f"({numbers(record for pair in found for record in pair[:2])})."
    )


def sent_in_vain(seen: Seen) -> str | None:
    """Sent a request again unchanged that was refused for what it says."""
    found = []
    worked = {one.identity for one in seen.records if (one.status or 999) < 400}
    for one, two in pairs(seen):
        is_polling = one.status == 404 and one.identity in worked
        is_told_to = (
            asked_wait(seen, one) is not None
            or header(one, "x-should-retry") == "true"
            or header(one, "x-ratelimit-remaining") == "0"
        )
        is_refused = one.status in _REFUSED and one.end == "complete"
        is_by_hand = pause(one, two) > _BY_HAND
        if is_refused and not (is_polling or is_told_to or is_by_hand):
            found.append((one, two))
    if not found:
        return None
    status = found[0][0].status
    return (
        f"Your client sent a request again unchanged after a {status}: "
        f"{_REFUSED[status]}, and another try does not change that "
        f"({numbers(records_of(found))})."
    )


def no_pause(seen: Seen) -> str | None:
    """Tried again and again without a pause."""
    found = [
        tries
        for tries in series(seen)
        if len(tries) >= 2 and all(pause(*pair) < AT_ONCE for pair in tries)
    ]
    if not found:
        return None
    return (
        "Your client tried again at once, with no pause: a server in trouble needs "
        "time, so wait, and wait longer each time "
        f"({numbers(records_of(itertools.chain(*found)))})."
    )


def same_pause(seen: Seen) -> str | None:
    """Made the same pause between all tries."""
    found = []
    for tries in series(seen):
        pauses = [pause(*pair) for pair in tries]
        if len(pauses) >= 3 and min(pauses) >= AT_ONCE and are_same(pauses):
            found.append(tries)
    if not found:
        return None
    seconds = pause(*found[0][0])
    return (
        f"Your client made the same pause of {seconds:.2f} s between all tries: double "
        "it each time, and draw a part of it at random "
        f"({numbers(records_of(itertools.chain(*found)))})."
    )


def in_step(seen: Seen) -> str | None:
    """Many requests that failed together came back together."""
    firsts = [tries[0] for tries in series(seen)]
    if len(firsts) < _MANY_CLIENTS:
        return None
    pauses = [pause(*pair) for pair in firsts]
    failed = [one.ended for one, _ in firsts]
    usual = median(pauses)
    # They failed together if the first one was still pausing when the last one failed.
    if usual < 0.1 or max(failed) - min(failed) > usual or not are_same(pauses):
        return None
    return (
        f"{len(firsts)} requests that failed together came back together, each after "
        f"{usual:.2f} s: draw a part of the pause at random (jitter), or they meet "
        f"again ({numbers(two for _, two in firsts)})."
    )


def new_connections(seen: Seen) -> str | None:
    """Opened a new connection for each call, one call after the other."""
    calls = Counter(record.connection for record in seen.records)
    rows: list[list[Record]] = [[]]
    for record in seen.records:
        row = rows[-1]
        if row and not (
            0 <= pause(row[-1], record) < 1
            and record.headers.get("User-Agent") == row[-1].headers.get("User-Agent")
        ):
            rows.append([])
        # Only a whole reply leaves a connection that can be used again.
        if record.end == "complete" and calls[record.connection] == 1:
            rows[-1].append(record)
        else:
            rows.append([])
    longest = max(rows, key=len)
    if len(longest) < _MANY_CONNECTIONS:
        return None
    return (
        f"Your client opened a new connection for each of {len(longest)} calls: keep "
        "one client or session, and let it use its connections again "
        f"({numbers(longest)})."
    )


def post_again(seen: Seen) -> str | None:
    """Sent a POST again that may have been carried out, without an Idempotency-Key.

    Questions to a model are left out: to answer twice changes nothing.
    """
    found = []
    for one, two in pairs(seen):
        is_safe = "idempotency-key" in map(str.lower, two.headers)
        is_question = one.path.startswith("/v1/")
        if one.method == "POST" and is_broken(one) and not (is_safe or is_question):
            found.append((one, two))
    if not found:
        return None
    return (
        "Your client sent a POST again, though nobody knows whether the first one was "
        "carried out: send the same Idempotency-Key with each try "
        f"({numbers(records_of(found))})."
    )


def key_in_address(seen: Seen) -> str | None:
    """Sent a key in the address, which ends in logs."""
    found = [
        record
        for record in seen.records
        if _KEY_IN_QUERY.search(record.query)
        or any(
            key and "…" in key[1:] and key in f"{record.path}?{record.query}"
            for key in (seen.key, record.key)
        )
    ]
    if not found:
        return None
    return (
        "Your client sent a key in the address, which is written to logs on the way: "
        f"send it in a header ({numbers(found)})."
    )


def no_timeout(seen: Seen) -> str | None:
    """Stayed on a reply that did not come."""
    found = {}
    for record in seen.records:
        waits_for_more = not record.end or record.end == "server-stopped"
        if record.first_byte is None:
            silent_since = record.received
        elif "stall(" in record.fault:
            silent_since = record.last_byte or record.first_byte
        else:
            continue
        seconds = (record.ended or seen.now) - silent_since
        try:
            # The official SDKs tell their timeout, and it is long.
            patience = float(record.headers.get("x-stainless-read-timeout", "0"))
        except ValueError:
            patience = 0.0
        if waits_for_more and seconds > max(_PATIENCE, patience):
            found[record.n] = (record, seconds)
    if not found:
        return None
    longest = max(seconds for _, seconds in found.values())
    return (
        f"Your client stayed {longest:.0f} s on a reply that did not come; no timeout "
        f"was seen: give each call one ({numbers(one for one, _ in found.values())})."
    )


def stream_left_open(seen: Seen) -> str | None:
    """Stopped reading a reply, and kept it open."""
    found = [
        record
        for record in seen.records
        if record.is_blocked
        and (record.ended or seen.now) - record.last_byte > _NOT_READ
    ]
    if not found:
        return None
    return (
        "Your client stopped reading a stream, but left it open: close what you do "
        f"not read to its end, with a with statement ({numbers(found)})."
    )


def stream_left(seen: Seen) -> str | None:
    """Left a stream that was going well before its end."""
    found = [
        record
        for record in seen.records
        if record.end == "client-gone"
        and is_stream(record)
        and not record.fault
        and not record.is_blocked
        and record.last_byte is not None
        and record.ended - record.last_byte < _LEFT_AT_ONCE
    ]
    if not found:
        return None
    return (
        "Your client left a stream before its end, so it cannot know that the answer "
        "is whole: if that was not on purpose, read up to [DONE] "
        f"({numbers(found)})."
    )


def too_many_at_once(seen: Seen) -> str | None:
    """Had more requests open at once than the limit lets through in a minute."""
    if seen.limit is None:
        return None
    for records in by_key(seen):
        moments = [(record.received, 1, record) for record in records]
        moments += [(record.ended, -1, record) for record in records if record.end]
        count, most = 0, 0
        now_open: dict[int, Record] = {}
        at_peak: list[Record] = []
        for _, step, record in sorted(moments, key=lambda one: one[:2]):
            count += step
            if step > 0:
                now_open[record.n] = record
            else:
                now_open.pop(record.n, None)
            if count > most:
                most, at_peak = count, list(now_open.values())
        if most > seen.limit:
            return (
                f"Your client had {most} requests open at once, where the limit lets "
                f"{seen.limit} through in a minute: bound how many are under way "
                f"({numbers(at_peak)})."
            )
    return None


def above_the_limit(seen: Seen) -> str | None:
    """Went on sending far above the rate limit, though it was refused."""
    if seen.limit is None:
        return None
    for records in by_key(seen):
        refused = [record for record in records if record.source == "limiter"]
        if len(refused) < 10:
            continue
        first, last = refused[0].received, refused[-1].received
        sent = sum(first <= record.received <= last for record in records)
        allowed = (last - first) * seen.limit / 60
        if last - first >= _LONG_ABOVE and sent > 3 * allowed:
            return (
                f"Your client was above the rate limit for {last - first:.0f} s: it "
                f"sent {sent} requests where {allowed:.0f} are let through, so limit "
                f"its rate before it sends ({numbers(refused)})."
            )
    return None


RULES: tuple[Callable[[Seen], str | None], ...] = (
    too_soon,
    sent_in_vain,
    no_pause,
    same_pause,
    in_step,
    new_connections,
    post_again,
    key_in_address,
    no_timeout,
    stream_left_open,
    stream_left,
    too_many_at_once,
    above_the_limit,
)


def advise(seen: Seen) -> list[str]:
    """Return what a client could do better, one sentence for each; none for a polite
    client.
    """
    return [sentence for rule in RULES if (sentence := rule(seen))]
