"""The tables, how a file comes to have them, and what tells it from another application's."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from triggers_core.errors import SchemaVersionError, StorageError
from triggers_core.storage.base import SCHEMA_VERSION
from triggers_core.storage.row import damaged
from triggers_core.storage.sqlite.connections import roll_back

if TYPE_CHECKING:
    from pathlib import Path  # slow to import

APPLICATION_ID = 0x74726967
"""``trig``, in the file's header: tells a store of ours from another SQLite database."""

_VERSION_1 = """
CREATE TABLE configurations (
    digest TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    manager_name TEXT NOT NULL,
    config_digest TEXT
);
CREATE TABLE instances (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL,
    task_name TEXT NOT NULL,
    number INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    parent TEXT,
    config_digest TEXT NOT NULL,
    trigger_kwargs TEXT NOT NULL,
    waits_for TEXT NOT NULL,
    not_before REAL NOT NULL,
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    recover_at REAL,
    reruns_left INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    UNIQUE (session_id, task_name, number)
);
CREATE INDEX active_instances ON instances (session_id)
    WHERE status IN ('scheduled', 'running');
CREATE INDEX recoverable_instances ON instances (recover_at)
    WHERE recover_at IS NOT NULL;
CREATE TABLE waiting (
    session_id INTEGER NOT NULL,
    trigger_name TEXT NOT NULL,
    instance_id INTEGER NOT NULL,
    PRIMARY KEY (session_id, trigger_name, instance_id)
) WITHOUT ROWID;
CREATE TABLE triggers (
    session_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    kwargs TEXT NOT NULL,
    fired_at REAL NOT NULL,
    PRIMARY KEY (session_id, name)
) WITHOUT ROWID;
CREATE TABLE events (
    session_id INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (session_id, event_id)
) WITHOUT ROWID;
"""


_VERSION_2 = """
ALTER TABLE sessions ADD COLUMN closed TEXT;
ALTER TABLE instances ADD COLUMN counts TEXT;
ALTER TABLE triggers ADD COLUMN is_logged INTEGER NOT NULL DEFAULT 0;
CREATE TABLE firings (
    session_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    kwargs TEXT NOT NULL,
    fired_at REAL NOT NULL,
    PRIMARY KEY (session_id, name, position)
) WITHOUT ROWID;
"""

STEPS = (_VERSION_1, _VERSION_2)
"""What leads from each version to the next; the first makes the tables. There are as many as
:data:`triggers_core.storage.base.SCHEMA_VERSION` says."""

_logger = logging.getLogger(__name__)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file; check them in another, and upgrade them if they are older.

    Raises:
        SchemaVersionError: they are of a newer version, or the file is not ours.
        StorageError: the file cannot be used as a store.
    """
    version = version_of(connection, path)
    _use_write_ahead_log(connection, path)
    if version < SCHEMA_VERSION:
        _upgrade(connection, path)


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the tables' version, 0 for an empty file. Raises as :func:`prepare` does."""
    # The tables first: whoever makes them sets the id in the same transaction.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not tables:
        return 0
    if application_id != APPLICATION_ID:
        raise SchemaVersionError(
            f"{path} is a SQLite database of another application; name a new file"
        )
    if version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{path} has schema version {version}, and this triggers-core knows "
            f"versions up to {SCHEMA_VERSION}: pip install --upgrade triggers-core"
        )
    if version < 1:
        raise damaged(f"SQLite storage {path}", f"it has schema version {version}")
    known: int = version
    return known


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Take the steps that are left, in one transaction: of many who do this at once, one does."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = version_of(connection, path)
        for step in STEPS[before:]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    if 0 < before < SCHEMA_VERSION:
        _logger.info("%s: upgraded from schema version %d to %d", path, before, SCHEMA_VERSION)


def _use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    """A file keeps the mode, but a copy by ``VACUUM INTO`` does not have it. Without it a
    commit is refused while anybody reads."""
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(
            f"SQLite storage {path}: its file system cannot have SQLite's write-ahead "
            "log; keep the file on a local disk"
        )
