"""A join written by hand, as teams do it that have Celery and SQLite: what a join costs anyway.

A row for each event, counted; the last event makes the row of a run, and its task is sent. The
task claims that row, so that a message which comes twice runs once, and records its end. Nothing
else: no configuration, no retry, no lease, and nobody who finds what was lost. A lock is waited for
as by ``SqliteStorage``, with its own function.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from triggers_core.storage.sqlite.connections import when_unlocked

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE events (
    case_id TEXT, name TEXT, kwargs TEXT, PRIMARY KEY (case_id, name)
) WITHOUT ROWID;
CREATE TABLE runs (
    case_id TEXT PRIMARY KEY, status TEXT, result TEXT
) WITHOUT ROWID;
"""


class Cases:
    """Cases in a SQLite file, with a connection a thread. Survives a fork before its first use."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self.path = path
        self._synchronous = synchronous
        self._local = threading.local()

    def create(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(_SCHEMA)

    def arrive(self, case_id: str, event: str, kwargs: dict, *, awaited: int) -> bool:
        """Record an event; return whether it was the last of those awaited."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO events VALUES (?, ?, ?)", (case_id, event, json.dumps(kwargs))
            )
            (count,) = connection.execute(
                "SELECT count(*) FROM events WHERE case_id = ?", (case_id,)
            ).fetchone()
            if count == awaited:
                connection.execute("INSERT INTO runs VALUES (?, 'scheduled', NULL)", (case_id,))
        return count == awaited

    def claim(self, case_id: str) -> dict[str, dict] | None:
        """Return the kwargs by event; None when it is another's to run."""
        with self._transaction() as connection:
            is_claimed = connection.execute(
                "UPDATE runs SET status = 'running' WHERE case_id = ? AND status = 'scheduled'",
                (case_id,),
            ).rowcount
            found = connection.execute(
                "SELECT name, kwargs FROM events WHERE case_id = ?", (case_id,)
            ).fetchall()
        return {name: json.loads(kwargs) for name, kwargs in found} if is_claimed else None

    def finish(self, case_id: str, result: dict) -> None:
        with self._transaction() as connection:
            connection.execute(
                "UPDATE runs SET status = 'finished', result = ? WHERE case_id = ?",
                (json.dumps(result), case_id),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        when_unlocked(lambda: connection.execute("BEGIN IMMEDIATE"))
        with connection:  # commits, or rolls back
            yield connection

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            made = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            made.execute(f"PRAGMA synchronous = {self._synchronous}")
            self._local.connection = made
        connection: sqlite3.Connection = self._local.connection
        return connection
