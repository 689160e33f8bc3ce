"""Lesson 09, imported by its notebook: jobs that outlive the processes that do them.

A worker takes a job by lease. A lease runs out unless it is renewed, so the jobs of a
dead worker come back by themselves.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .database import Database, StoreError
from .providers import CompletionResponse

# A lease further ahead than any that we give was written by another clock: machines
# restart. Such a lease has run out.
TAKE = """
UPDATE jobs
SET lease = :until, worker = :worker,
    resent = resent + (provider IS NOT NULL AND worker IS NOT NULL)
WHERE number = (
    SELECT number FROM jobs
    WHERE state = 'open' AND (lease <= :now OR lease > :until)
    ORDER BY lease LIMIT 1
)
RETURNING number, id, text, key, prompt, provider, attempts
"""
MINE = "number = ? AND state = 'open' AND worker = ?"


class LeaseLostError(Exception):
    """Somebody else has the job now: this worker was too slow to renew its lease."""


@dataclass
class Job:
    """A job that a worker has taken; see the table in database.py."""

    number: int
    id: str
    text: str
    key: str
    prompt: str | None
    provider: str | None
    attempts: int
    worker: str


def read_jobs(path: Path) -> Iterator[tuple[str, str]]:
    """Yield id and text from each line of a file: {"id": "…", "text": "…"}.

    Raises StoreError, with the number of the line, for anything else, and for a file
    that cannot be read.
    """
    try:
        file = path.open("rb")
    except OSError as cause:
        raise StoreError(f"{path}: no job can be read: {cause.strerror}") from cause
    with file:
        for number, line in enumerate(file, 1):
            try:
                job = json.loads(line)
                name, text = job["id"], job["text"]
            except (ValueError, LookupError, TypeError) as cause:
                message = f"line {number} is damaged, and no job was added: {cause}"
                raise StoreError(f"{path}: {message}") from cause
            yield str(name), str(text)


class JobQueue(Database):
    """The jobs of all processes.

    clock: seconds, the same for all processes of this machine, and nobody can set it.
    lease: seconds after which a worker that gives no sign has lost its jobs.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        lease: float = 5.0,
    ) -> None:
        super().__init__(path)
        self.clock, self.lease = clock, lease

    def add(self, jobs: Iterable[tuple[str, str]]) -> int:
        """Add jobs, each an id and a text; return how many are new. All or none.

        Raises StoreError if an id is there with another text.
        """
        new = 0
        insert = "INSERT OR IGNORE INTO jobs (id, text, key) VALUES (?, ?, ?)"
        with self.changes() as db:
            for name, text in jobs:
                row = (name, text, uuid.uuid4().hex)
                is_new = db.execute(insert, row).rowcount
                find = "SELECT text FROM jobs WHERE id = ?"
                if not is_new and db.execute(find, (name,)).fetchone() != (text,):
                    message = f"job {name!r} is there with another text; none was added"
                    raise StoreError(f"{self.path}: {message}")
                new += is_new
        return new

    def take(self, worker: str) -> Job | None:
        """Take the next open job, if there is one that nobody has."""
        with self.changes() as db:
            now = self.clock()  # not before: others may have written while we waited
            facts = {"now": now, "until": now + self.lease, "worker": worker}
            row = db.execute(TAKE, facts).fetchone()
        return row and Job(*row, worker)

    def renew(self, jobs: Iterable[Job]) -> None:
        """Renew the leases of the jobs that a worker has."""
        with self.changes() as db:
            until = self.clock() + self.lease
            rows = [(until, job.number, job.worker) for job in jobs]
            db.executemany(f"UPDATE jobs SET lease = ? WHERE {MINE}", rows)

    def put_back(self, job: Job, pause: float = 0.0) -> None:
        """Let any worker take a job: after a pause, in seconds, if the call has failed;
        at once if it is not known how the call ended.
        """
        last = None if pause else job.worker
        change = f"UPDATE jobs SET lease = ?, worker = ? WHERE {MINE}"
        with self.changes() as db:
            lease = self.clock() + min(pause, self.lease) if pause else 0.0
            db.execute(change, (lease, last, job.number, job.worker))

    def keep_prompt(self, job: Job, prompt: str) -> None:
        """Keep a prompt before it is sent: the same key must bring the same words."""
        job.prompt = prompt
        change = f"UPDATE jobs SET prompt = ? WHERE {MINE}"
        with self.changes() as db:
            db.execute(change, (prompt, job.number, job.worker))

    def finish(self, job: Job, response: CompletionResponse, most: int) -> None:
        """Keep an answer, and what it cost in place of the most that was kept for it.

        If somebody else has finished the job, that answer stays.
        """
        difference = response.cost - most
        change = """UPDATE jobs SET state = 'answered', answer = ?, provider = ?,
            cost = cost + ? WHERE number = ? AND state = 'open'"""
        row = (response.text, response.provider, difference, job.number)
        with self.changes() as db:
            if db.execute(change, row).rowcount:
                db.execute("UPDATE spend SET amount = amount + ?", (difference,))

    def fail(self, job: Job, error: Exception) -> None:
        """Keep why a job has no answer. What it may have cost stays spent."""
        reason = f"{type(error).__name__}: {error}"
        change = f"UPDATE jobs SET state = 'failed', error = ? WHERE {MINE}"
        with self.changes() as db:
            db.execute(change, (reason, job.number, job.worker))
