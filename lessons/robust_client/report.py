"""Lesson 09, imported by its notebook: what happened to all jobs."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from .store import Store


def most_in_a_second(starts: Collection[float]) -> int:
    """Return the most starts in any window [t, t + 1 s). starts: seconds."""
    times = sorted(starts)
    return max(
        (bisect_left(times, t + 1.0) - n for n, t in enumerate(times)), default=0
    )


@dataclass
class Report:
    """What happened to all jobs.

    open: jobs that wait. failed: jobs that will have no answer, for a reason in
    reasons. lost: jobs that should be there and are not. doubled: jobs that are there
    more than once. resent: calls that were under way when a worker died, and so were
    sent again. charged_twice: jobs that servers carried out more than once.
    ideal_seconds: what the rate limit alone takes.
    """

    items: int
    answered: int
    failed: int
    open: int
    lost: int
    doubled: int
    resent: int
    charged_twice: int
    most_starts_in_a_second: int
    cost_usd: float
    seconds: float
    ideal_seconds: float
    reasons: dict[str, int]
    cost_by_provider: dict[str, float]

    def __str__(self) -> str:
        names = ("answered", "failed", "open", "lost", "doubled")
        counts = ", ".join(f"{getattr(self, name)} {name}" for name in names)
        reasons = [f"  {count} x {why}" for why, count in self.reasons.items()]
        return "\n".join([f"{counts}, {self.charged_twice} charged twice", *reasons])


def make_report(
    store: Store,
    ids: Iterable[str],
    *,
    rate: int,
    seconds: float,
    starts: Collection[float],
    charges: Mapping[str, int],
) -> Report:
    """Count what is in a store.

    ids: those of all jobs that should be there. rate: calls a second. starts: when
    calls reached the server, in seconds. charges: how often it carried out each job.
    """
    wanted, states = set(ids), Counter()
    rows = store.read("SELECT id, state FROM jobs")
    for name, state in rows:
        states[state] += 1
        wanted.discard(name)
    reasons = store.read("SELECT error, count(*) FROM jobs WHERE error > '' GROUP BY 1")
    costs = store.read("SELECT provider, sum(cost) FROM jobs WHERE cost > 0 GROUP BY 1")
    (resent,) = store.read("SELECT total(resent) FROM jobs").fetchone()
    items = states.total()
    return Report(
        items=items,
        answered=states["answered"],
        failed=states["failed"],
        open=states["open"],
        lost=len(wanted),
        doubled=items - store.read("SELECT count(DISTINCT id) FROM jobs").fetchone()[0],
        resent=int(resent),
        charged_twice=sum(count > 1 for count in charges.values()),
        most_starts_in_a_second=most_in_a_second(starts),
        cost_usd=store.spent() / 1e6,
        seconds=round(seconds, 2),
        ideal_seconds=float((items - 1) // rate),
        reasons=dict(reasons),
        cost_by_provider={name: amount / 1e6 for name, amount in costs},
    )
