"""Lesson 09, imported by its notebook: what all processes share, in one file."""

import json
from collections.abc import Iterator

from .jobs import MINE, Job, JobQueue, LeaseLostError
from .limits import SlidingWindow


class Store(JobQueue):
    """The jobs, what they cost, and when calls started; see JobQueue."""

    # --- money ------------------------------------------------------------------------

    def spent(self) -> int:
        """Return what all jobs have cost or may cost, in micro-dollars."""
        return self.read("SELECT amount FROM spend").fetchone()[0]

    def reserve(self, job: Job, provider: str, most: int, budget: int | None) -> bool:
        """Note that a call goes to a provider, and keep so much for it.

        False, and nothing is noted, if the budget does not have it. A call that is sent
        again is paid for already. Raises LeaseLostError.
        """
        more = 0 if job.provider == provider else most
        change = f"""UPDATE jobs SET provider = ?, cost = cost + ?,
            attempts = attempts + 1 WHERE {MINE}"""
        with self.changes() as db:
            (spent,) = db.execute("SELECT amount FROM spend").fetchone()
            if budget is not None and more and spent + more > budget:
                return False
            row = (provider, more, job.number, job.worker)
            if not db.execute(change, row).rowcount:
                raise LeaseLostError(job.id)
            db.execute("UPDATE spend SET amount = amount + ?", (more,))
        job.provider, job.attempts = provider, job.attempts + 1
        return True

    def refund(self, job: Job, most: int) -> None:
        """Note that a provider has certainly not answered: nothing is kept for it."""
        change = f"UPDATE jobs SET provider = NULL, cost = cost - ? WHERE {MINE}"
        with self.changes() as db:
            if db.execute(change, (most, job.number, job.worker)).rowcount:
                db.execute("UPDATE spend SET amount = amount - ?", (most,))
        job.provider = None

    # --- pace -------------------------------------------------------------------------

    def start(self, max_calls: int, period: float) -> float:
        """Count a start of all processes and return 0.0; or return the seconds to wait.

        It is lesson 08's sliding window, kept in one row. Starts keep half the distance
        of an even pace: requests that start at once would wait for each other. Starts
        of another clock, from before this machine was started, do not count.
        """
        window = SlidingWindow(max_calls, period, self.clock)
        with self.changes() as db:
            now = self.clock()  # not before: others may have started while we waited
            (starts,) = db.execute("SELECT starts FROM pace").fetchone()
            window.starts.extend(one for one in json.loads(starts) if one <= now)
            gap = window.starts[-1] + period / max_calls / 2 - now
            wait = gap if gap > 0 else window.start()
            if not wait:
                starts = json.dumps(list(window.starts))
                db.execute("UPDATE pace SET starts = ?", (starts,))
        return wait

    # --- results ----------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Return how many jobs are open, answered and failed."""
        rows = self.read("SELECT state, count(*) FROM jobs GROUP BY state")
        return {"open": 0, "answered": 0, "failed": 0} | dict(rows)

    def has_open(self) -> bool:
        """Say whether a job is open, also in another process."""
        rows = self.read("SELECT 1 FROM jobs WHERE state = 'open' LIMIT 1")
        return rows.fetchone() is not None

    def answers(self) -> Iterator[tuple[str, str]]:
        """Yield the id and the answer of each answered job, in their order."""
        yield from self.read(
            "SELECT id, answer FROM jobs WHERE state = 'answered' ORDER BY number"
        )
