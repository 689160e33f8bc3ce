"""Lesson 09, imported by its notebook: a file that several processes may change.

It is a database of SQLite in WAL mode: https://www.sqlite.org/wal.html. What was
committed survives the end of any process.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = 1
JOBS = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    key TEXT NOT NULL,                    -- its Idempotency-Key
    state TEXT NOT NULL DEFAULT 'open',   -- then 'answered' or 'failed'
    lease REAL NOT NULL DEFAULT 0,        -- nobody else takes it before then
    worker TEXT,                          -- who took it last
    prompt TEXT,                          -- never changes after it was sent
    provider TEXT,                        -- who may have answered it, or has
    attempts INTEGER NOT NULL DEFAULT 0,  -- requests to a provider
    resent INTEGER NOT NULL DEFAULT 0,    -- times that a worker died with it under way
    cost INTEGER NOT NULL DEFAULT 0,      -- micro-dollars; while open, the most
    answer TEXT,
    error TEXT
);
"""
SCHEMA = (
    JOBS,
    "CREATE INDEX open_jobs ON jobs (lease) WHERE state = 'open'",
    "CREATE TABLE pace (starts TEXT NOT NULL)",  # one row: the last starts, as JSON
    "CREATE TABLE spend (amount INTEGER NOT NULL)",  # one row: the sum of all costs
    "INSERT INTO pace VALUES ('[]')",
    "INSERT INTO spend VALUES (0)",
    f"PRAGMA user_version = {VERSION}",
)
# What SQLite says, by the start of its name for it, and what to do.
ADVICE = {
    "SQLITE_FULL": "the disk is full; make room and start again",
    "SQLITE_IOERR": "the disk cannot be read or written; repair that and start again",
    "SQLITE_READONLY": "it may only be read; allow writing, or copy it elsewhere",
    "SQLITE_CANTOPEN": "it cannot be opened; is the folder there, may you write to it?",
    "SQLITE_BUSY": "another program keeps it locked; end that one and start again",
    "SQLITE_NOTADB": "it is not a store; name another file",
    "SQLITE_CORRUPT": "it is damaged; take your last copy of it",
}


class StoreError(Exception):
    """The store cannot be used; the text says why, and what to do."""


def explain(path: Path, error: sqlite3.Error) -> StoreError:
    """Return the error of SQLite as a sentence."""
    name = getattr(error, "sqlite_errorname", "")
    for start, advice in ADVICE.items():
        if name.startswith(start):
            return StoreError(f"{path}: {advice} ({error})")
    return StoreError(f"{path}: {error}")


class Database:
    """An open store. Each process opens its own; the file is made if there is none.

    Raises StoreError, also for a store that a newer version has made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            # Transactions are begun below; others are waited for, 30 seconds at most.
            self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None)
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            self._check(version)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            raise explain(self.path, error) from error
        if version == 0:
            self._create()

    def _check(self, version: int) -> None:
        if version > VERSION:
            self._db.close()
            made = f"made by a newer version of this program ({version}, not {VERSION})"
            raise StoreError(f"{self.path}: {made}; use that one. Nothing was changed.")

    def _create(self) -> None:
        with self.changes() as db:
            if db.execute("PRAGMA user_version").fetchone() == (0,):
                for statement in SCHEMA:
                    db.execute(statement)

    @contextmanager
    def changes(self) -> Iterator[sqlite3.Connection]:
        """Make all changes of a block, or none; meanwhile no other process changes it.

        Raises StoreError.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise explain(self.path, error) from error

    def read(self, query: str, *values: object) -> sqlite3.Cursor:
        """Return the rows that a query finds, one by one. Raises StoreError."""
        try:
            return self._db.execute(query, values)
        except sqlite3.Error as error:
            raise explain(self.path, error) from error

    def close(self) -> None:
        """Close the store; the end of a `with` block does this too."""
        self._db.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
