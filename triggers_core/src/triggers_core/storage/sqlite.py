"""Sessions in one SQLite file: for one machine, any number of threads and processes.

Write-ahead log, ``BEGIN IMMEDIATE``, a busy timeout, and one connection a thread.

A lock is waited for here, and not in SQLite, whose busy handler sleeps for 1, 2, 5 and up to 100
milliseconds where another process holds the lock for a fraction of one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, TypeVar
from weakref import WeakSet

from triggers_core.config import Configuration
from triggers_core.errors import DamagedStore, SchemaVersionError, StorageError
from triggers_core.instance import Status, TaskInstance
from triggers_core.kwargs import to_json
from triggers_core.storage.base import (
    COLUMNS,
    DEFAULT_ALIAS,
    SCHEMA_VERSION,
    LostInstance,
    SessionReader,
    Storage,
    UnitOfWork,
    damaged,
    decode_instance,
    decode_moment,
    decode_number,
    decode_object,
    decode_session,
    encode_instance,
)
from triggers_core.storage.forks import call_at_fork

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 30.0
BUSY_PAUSES_SECONDS = (0.00005, 0.01)
"""The first and the longest between two looks at a lock."""
APPLICATION_ID = 0x74726967
"""``trig``, in the file's header: tells a store of ours from another SQLite database."""

_SCHEMA = """
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

_COLUMNS = ", ".join(COLUMNS)
_SELECT_INSTANCE = f"SELECT id, {_COLUMNS} FROM instances WHERE session_id = ?"
_SELECT_WAITING = (
    f"SELECT id, {_COLUMNS} FROM waiting JOIN instances ON instances.id = waiting.instance_id "
    "WHERE waiting.session_id = ? AND waiting.trigger_name = ? ORDER BY task_name, number"
)
_INSERT_INSTANCE = (
    f"INSERT INTO instances (session_id, {_COLUMNS}) VALUES (?, {', '.join('?' for _ in COLUMNS)})"
)
_UPDATE_INSTANCE = (
    f"UPDATE instances SET {', '.join(f'{column} = ?' for column in COLUMNS[2:])} WHERE id = ?"
)
_SELECT_LOST = f"""
SELECT id, (SELECT manager_name FROM sessions WHERE sessions.id = session_id),
    (SELECT uid FROM sessions WHERE sessions.id = session_id),
    {_COLUMNS.replace("recover_at", "? AS held")}
FROM instances WHERE recover_at <= ? ORDER BY recover_at LIMIT ?
"""
_LOCKED = "database is locked"
_NOT_TEXT = "Could not decode to UTF-8"
_OF_THE_DISK = ("database or disk is full", "disk I/O error")
"""What SQLite and sqlite3 say; before Python 3.11 an error has no code."""

_NO_SESSION = -1
_OLDEST_SQLITE = (3, 24)  # the first with ON CONFLICT DO UPDATE
_PAGE = 1000
"""Sessions listed at a time."""


class SqliteStorage(Storage):
    """Keeps sessions in a file, made with its schema by the first change; looking makes none.

    Args:
        path: the file. Its folder must exist.
        synchronous: SQLite's pragma. ``FULL`` keeps every commit through a power failure;
            ``NORMAL`` is faster, keeps every commit through the death of any process, and may
            lose the last ones with the machine's power.
    """

    name = "sqlite"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        alias: str = DEFAULT_ALIAS,
        synchronous: str = "FULL",
    ) -> None:
        super().__init__(alias=alias)
        if synchronous not in ("FULL", "NORMAL"):
            raise StorageError(f"synchronous must be 'FULL' or 'NORMAL', not {synchronous!r}")
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StorageError(
                f"this Python has SQLite {sqlite3.sqlite_version}, and SqliteStorage needs "
                f"{'.'.join(map(str, _OLDEST_SQLITE))}; use a newer Python, or another storage"
            )
        from pathlib import Path  # noqa: PLC0415 - slow to import, and used on demand

        self.path = Path(path).absolute()
        if "\0" in str(self.path):
            raise StorageError(f"{str(path)!r} cannot be a file: its name holds a NUL character")
        self._synchronous = synchronous
        self._renew()
        call_at_fork(self)

    def _renew(self) -> None:
        # A file's lock is looked at again and again; among threads this one hands over at once.
        self._write_lock = threading.Lock()
        self._connections = _Connections(self._connect)

    @classmethod
    def from_url(cls, url: str, *, alias: str = DEFAULT_ALIAS) -> SqliteStorage:
        """Return the storage of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
        from urllib.parse import unquote  # noqa: PLC0415 - slow to import, and used on demand

        prefix = "sqlite:///"
        path = unquote(url[len(prefix) :])
        if not url.startswith(prefix) or not path:
            raise StorageError(
                f"{url!r}: a SQLite storage's URL is 'sqlite:///relative.db' "
                "or 'sqlite:////absolute/path.db'"
            )
        return cls(path, alias=alias)

    @contextmanager
    def transaction(self, session_uid: str, manager_name: str) -> Iterator[_SqliteWork]:
        with self._writing() as connection:
            work = _SqliteWork(self, connection, session_uid)
            work.open_session(manager_name)
            yield work

    @contextmanager
    def read(self, session_uid: str) -> Iterator[_SqliteReader]:
        with self._looking() as connection:
            try:
                connection.execute("BEGIN")
                yield when_unlocked(lambda: _SqliteReader(self, connection, session_uid))
            finally:
                _roll_back(connection)

    def take_lost(self, *, limit: int, hold_until: float) -> list[LostInstance]:
        with self._writing() as connection:
            rows = connection.execute(_SELECT_LOST, (hold_until, self.now(), limit)).fetchall()
            connection.executemany(
                "UPDATE instances SET recover_at = ? WHERE id = ?",
                [(hold_until, row_id) for row_id, *_ in rows],
            )
        return [
            LostInstance(manager_name, session_uid, tuple(row))
            for _, manager_name, session_uid, *row in rows
        ]

    def sessions(self) -> Iterator[tuple[str, str]]:
        # By the page: a look-up left open would keep this thread from writing.
        rows = self._sessions_after(_NO_SESSION)
        while rows:
            for _, session_uid, manager_name in rows:
                yield decode_session(session_uid, manager_name)
            last, rows = rows[-1][0], self._sessions_after(rows[-1][0])
            if rows and rows[-1][0] <= last:  # as in a tree whose order is lost, for ever
                raise damaged(f"SQLite storage {self.path}", "its sessions are out of order")

    def close(self) -> None:
        self._connections.close()

    def before_fork(self) -> None:
        self._connections.rest()

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self._renew()
        else:
            self._connections.resume()

    def _sessions_after(self, row_id: int) -> list[tuple[int, str, str]]:
        with self._looking() as connection:
            return when_unlocked(
                lambda: connection.execute(
                    "SELECT id, uid, manager_name FROM sessions WHERE id > ? ORDER BY id LIMIT ?",
                    (row_id, _PAGE),
                ).fetchall()
            )

    def _configuration_body(self, digest: str) -> str | None:
        with self._looking() as connection:
            row = when_unlocked(
                lambda: connection.execute(
                    "SELECT body FROM configurations WHERE digest = ?", (digest,)
                ).fetchone()
            )
        body: str | None = row[0] if row else None
        return body

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock, self._connection() as connection:
            try:
                when_unlocked(lambda: connection.execute("BEGIN IMMEDIATE"))
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to look with: while the folder has no such file, to an empty store."""
        if self._connections.current() is None and self._is_missing():
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.executescript(_SCHEMA)
                yield connection
        else:
            with self._connection() as connection:
                yield connection

    def _is_missing(self) -> bool:
        """Return whether nothing but the file is missing; what else is wrong shows on opening."""
        try:
            self.path.stat()
        except FileNotFoundError:
            return self.path.parent.is_dir()
        except OSError:
            return False
        return False

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Give this thread's connection; nobody closes it before the body is left, and no
        transaction is left open that the body began."""
        try:
            while True:
                connection = self._connections.own()
                with connection.in_use:
                    if connection.is_open:
                        is_amid = connection.in_transaction
                        try:
                            yield connection
                        finally:
                            # Once more: what a signal's handler raised, as at Celery's soft time
                            # limit, may have come between the body and its own roll-back.
                            if not is_amid:
                                _roll_back(connection)
                        return
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> StorageError:
        said = f"SQLite storage {self.path}: {error}; this change was not made"
        # SQLite says no more of a damaged file, and sqlite3 not even that if it cannot read it.
        if type(error) in {sqlite3.DatabaseError, UnicodeDecodeError} or _NOT_TEXT in str(error):
            return DamagedStore(
                f"{said}. The file is damaged: restore it from a backup, or save what can be read "
                "with the command: sqlite3 FILE .recover"
            )
        advice = ". Make room on the disk, then do it again" if _is_of_the_disk(error) else ""
        return StorageError(f"{said}, and everything committed before stands{advice}")

    def _connect(self) -> _Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=0.0,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        try:
            when_unlocked(lambda: self._prepare(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        has_schema = self._has_schema(connection)
        self._use_write_ahead_log(connection)
        if has_schema:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not self._has_schema(connection):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        """A file keeps the mode, but a copy by ``VACUUM INTO`` does not have it. Without it a
        commit is refused while anybody reads."""
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageError(
                f"SQLite storage {self.path}: its file system cannot have SQLite's write-ahead "
                "log; keep the file on a local disk"
            )

    def _has_schema(self, connection: sqlite3.Connection) -> bool:
        """Return False for an empty file. Raises SchemaVersionError."""
        # The tables first: whoever makes them sets the id in the same transaction.
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if tables and application_id != APPLICATION_ID:
            raise SchemaVersionError(
                f"{self.path} is a SQLite database of another application; name a new file"
            )
        if tables and version > SCHEMA_VERSION:
            raise SchemaVersionError(
                f"{self.path} has schema version {version}, and this triggers-core knows "
                f"versions up to {SCHEMA_VERSION}: pip install --upgrade triggers-core"
            )
        if tables and version < 1:
            raise damaged(f"SQLite storage {self.path}", f"it has schema version {version}")
        return bool(tables)


def when_unlocked(do: Callable[[], T]) -> T:
    """Return what it returns; while another process' lock is in its way, try again.

    Raises:
        sqlite3.OperationalError: it still is after :data:`BUSY_TIMEOUT_SECONDS`.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    pause, longest_pause = BUSY_PAUSES_SECONDS
    while True:
        try:
            return do()
        except sqlite3.OperationalError as error:
            if _LOCKED not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(1.1 * pause, longest_pause)


def _roll_back(connection: sqlite3.Connection) -> None:
    # Where it fails by the disk or by damage, SQLite has undone everything by itself.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _is_of_the_disk(error: Exception) -> bool:
    return any(said in str(error) for said in _OF_THE_DISK)


class _Connection(sqlite3.Connection):
    """Closes itself when the thread that used it is gone."""

    is_open = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_use = threading.RLock()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        super().close()

    def __del__(self) -> None:
        if self.is_open:
            self.close()


class _Connections:
    """One a thread, opened when it is needed.

    None is open across a fork. SQLite keeps its locks by process: what a fork's child inherits
    looks locked to it, and open, when it is neither, and what the child wrote could be lost.
    """

    def __init__(self, connect: Callable[[], _Connection]) -> None:
        self._connect = connect
        self._local = threading.local()
        self._opening = threading.RLock()
        self._open: WeakSet[_Connection] = WeakSet()
        self._resting: list[_Connection] = []

    def current(self) -> _Connection | None:
        """Return this thread's; None where it has none that is open."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        return connection if connection is not None and connection.is_open else None

    def own(self) -> _Connection:
        """Return this thread's."""
        connection = self.current()
        if connection is None:
            with self._opening:
                connection = self._local.connection = self._connect()
                self._open.add(connection)
        return connection

    def close(self) -> None:
        """Close each when it is not in use; those that are needed again are opened again."""
        with self._opening:
            connections = list(self._open)
        for connection in connections:
            with connection.in_use:
                connection.close()

    def rest(self) -> None:
        """Close each, and open none before :meth:`resume`."""
        self._opening.acquire()
        for connection in list(self._open):
            connection.in_use.acquire()
            self._resting.append(connection)
            # Only this thread's can be amid a transaction: then it cannot be helped.
            if connection.is_open and not connection.in_transaction:
                connection.close()

    def resume(self) -> None:
        while self._resting:
            self._resting.pop().in_use.release()
        self._opening.release()


class _SqliteReader(SessionReader):
    def __init__(
        self, storage: SqliteStorage, connection: sqlite3.Connection, session_uid: str
    ) -> None:
        self._storage = storage
        self._connection = connection
        self._uid = session_uid
        self._row_ids: dict[str, int] = {}
        self._waits: dict[str, frozenset[str]] = {}
        found = connection.execute(
            "SELECT id, config_digest, manager_name FROM sessions WHERE uid = ?", (session_uid,)
        ).fetchone()
        self._id: int = found[0] if found else _NO_SESSION
        self._config_digest: str | None = found[1] if found else None
        self._manager_name: str | None = found[2] if found else None

    def manager_name(self) -> str | None:
        return self._manager_name

    def configuration(self) -> Configuration:
        if self._config_digest is None:
            return Configuration()
        return self._storage.configuration(self._config_digest)

    def instance(self, task_name: str, number: int) -> TaskInstance | None:
        found = self._instances(
            f"{_SELECT_INSTANCE} AND task_name = ? AND number = ?", (task_name, number)
        )
        return found[0] if found else None

    def instances(
        self, *, task_name: str | None = None, statuses: Collection[Status] | None = None
    ) -> list[TaskInstance]:
        query, values = _SELECT_INSTANCE, []
        if task_name is not None:
            query += " AND task_name = ?"
            values.append(task_name)
        if statuses is not None:
            query += f" AND status IN ({', '.join('?' for _ in statuses)})"
            values.extend(status.value for status in statuses)
        return self._instances(f"{query} ORDER BY task_name, number", values)

    def waiting_for(self, trigger_name: str) -> list[TaskInstance]:
        return self._instances(_SELECT_WAITING, (trigger_name,))

    def next_number(self, task_name: str) -> int:
        found = self._connection.execute(
            "SELECT number FROM instances WHERE session_id = ? AND task_name = ? "
            "ORDER BY number DESC LIMIT 1",
            (self._id, task_name),
        ).fetchone()
        return decode_number(found[0], f"task {task_name!r}") + 1 if found else 0

    def latest_kwargs(self, trigger_names: Iterable[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for trigger_name in trigger_names:
            row = self._connection.execute(
                "SELECT kwargs FROM triggers WHERE session_id = ? AND name = ?",
                (self._id, trigger_name),
            ).fetchone()
            if row:
                found[trigger_name] = decode_object(row[0], f"trigger {trigger_name!r}")
        return found

    def last_fired_at(self) -> float | None:
        (found,) = self._connection.execute(
            "SELECT max(fired_at) FROM triggers WHERE session_id = ?", (self._id,)
        ).fetchone()
        return decode_moment(found, f"session {self._uid!r}, its last trigger")

    def outcome(self, event_id: str) -> dict[str, Any] | None:
        row = self._connection.execute(
            "SELECT outcome FROM events WHERE session_id = ? AND event_id = ?",
            (self._id, event_id),
        ).fetchone()
        return decode_object(row[0], f"event {event_id!r}") if row else None

    def is_active(self) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM instances WHERE session_id = ? "
            "AND status IN ('scheduled', 'running') LIMIT 1",
            (self._id,),
        ).fetchone()
        return row is not None

    def _instances(self, query: str, values: Iterable[Any]) -> list[TaskInstance]:
        found = []
        for row_id, *row in self._connection.execute(query, (self._id, *values)):
            instance = decode_instance(self._uid, tuple(row))
            self._row_ids[instance.name] = row_id
            self._waits[instance.name] = instance.waits_for
            found.append(instance)
        return found


class _SqliteWork(_SqliteReader, UnitOfWork):
    def __init__(
        self, storage: SqliteStorage, connection: sqlite3.Connection, session_uid: str
    ) -> None:
        super().__init__(storage, connection, session_uid)
        self._next_numbers: dict[str, int] = {}  # as they were asked for

    def open_session(self, manager_name: str) -> None:
        if self._id == _NO_SESSION:
            self._id = self._insert(
                "INSERT INTO sessions (uid, manager_name) VALUES (?, ?)", (self._uid, manager_name)
            )
            self._manager_name = manager_name

    def configure(self, configuration: Configuration) -> None:
        digest = configuration.digest
        self._connection.execute(
            "INSERT INTO configurations (digest, body) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (digest, configuration.to_json()),
        )
        self._connection.execute(
            "UPDATE sessions SET config_digest = ? WHERE id = ?", (digest, self._id)
        )
        self._config_digest = digest

    def save(self, instance: TaskInstance) -> None:
        row = encode_instance(instance)
        if instance.name not in self._row_ids and not self._is_new(instance):
            self.instance(instance.task_name, instance.number)
        row_id = self._row_ids.get(instance.name)
        if row_id is None:
            row_id = self._insert(_INSERT_INSTANCE, (self._id, *row))
        else:
            self._connection.execute(_UPDATE_INSTANCE, (*row[2:], row_id))
        waited = self._waits.get(instance.name, frozenset())
        for trigger_name in waited - instance.waits_for:
            self._connection.execute(
                "DELETE FROM waiting WHERE session_id = ? AND trigger_name = ? AND instance_id = ?",
                (self._id, trigger_name, row_id),
            )
        for trigger_name in instance.waits_for - waited:
            self._connection.execute(
                "INSERT INTO waiting (session_id, trigger_name, instance_id) VALUES (?, ?, ?)",
                (self._id, trigger_name, row_id),
            )
        self._row_ids[instance.name] = row_id
        self._waits[instance.name] = instance.waits_for

    def remember_trigger(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], *, at: float
    ) -> None:
        self._connection.execute(
            "INSERT INTO triggers (session_id, name, kwargs, fired_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET kwargs = excluded.kwargs, fired_at = excluded.fired_at",
            (self._id, trigger_name, to_json(trigger_kwargs), at),
        )

    def delete(self) -> None:
        for table in ("waiting", "instances", "triggers", "events"):
            self._connection.execute(f"DELETE FROM {table} WHERE session_id = ?", (self._id,))
        self._connection.execute("DELETE FROM sessions WHERE id = ?", (self._id,))

    def record_outcome(self, event_id: str, outcome: Mapping[str, Any]) -> None:
        self._connection.execute(
            "INSERT INTO events (session_id, event_id, outcome) VALUES (?, ?, ?)",
            (self._id, event_id, to_json(outcome)),
        )

    def next_number(self, task_name: str) -> int:
        number = self._next_numbers[task_name] = super().next_number(task_name)
        return number

    def _is_new(self, instance: TaskInstance) -> bool:
        """Return whether it is known without a look-up that the instance has no row yet."""
        return instance.number >= self._next_numbers.get(instance.task_name, instance.number + 1)

    def _insert(self, query: str, values: tuple[Any, ...]) -> int:
        row_id = self._connection.execute(query, values).lastrowid
        assert row_id is not None  # sqlite3 sets it after every INSERT of one row
        return row_id
