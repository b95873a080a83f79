"""Sessions in one SQLite file: for one machine, any number of threads and processes.

Write-ahead log, ``BEGIN IMMEDIATE``, a busy timeout, and one connection a thread.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TypeVar

from triggers_core.errors import DamagedStore, InvalidStorage, StorageError
from triggers_core.forks import call_at_fork
from triggers_core.storage.base import DEFAULT_ALIAS, LostInstance, Storage, session_is_open
from triggers_core.storage.row import damaged, decode_session
from triggers_core.storage.sqlite.connections import (
    Connection,
    Connections,
    roll_back,
    when_unlocked,
)
from triggers_core.storage.sqlite.file import ADVICE_IF_REFUSED, MAY_ONLY_READ, File, is_refusal
from triggers_core.storage.sqlite.schema import STEPS
from triggers_core.storage.sqlite.session import COLUMN_NAMES, SqliteReader, SqliteWork

_SELECT_LOST = f"""
SELECT id, (SELECT manager_name FROM sessions WHERE sessions.id = session_id),
    (SELECT uid FROM sessions WHERE sessions.id = session_id),
    {COLUMN_NAMES.replace("recover_at", "? AS held")}
FROM instances WHERE recover_at <= ? ORDER BY recover_at LIMIT ?
"""
_NOT_TEXT = "Could not decode to UTF-8"
_OF_THE_DISK = ("database or disk is full", "disk I/O error")
"""What SQLite and sqlite3 say; before Python 3.11 an error has no code."""

Begun = TypeVar("Begun")

_BEFORE_THE_FIRST = -1
_OLDEST_SQLITE = (3, 24)  # the first with ON CONFLICT DO UPDATE
_PAGE = 1000
"""Sessions listed at a time."""


class SqliteStorage(Storage):
    """Keeps sessions in a file, made with its schema by the first change; looking makes none.

    What is acknowledged was in the file that stands at the path. Once the file was open and is
    removed, each use is a StorageError until one is there again or the storage is closed; one that
    replaces it is used from then on; a change amid which it goes is an OutcomeUnknown. Whoever may
    only read the file can look; a change is a StorageError then.

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
            raise InvalidStorage(f"synchronous must be 'FULL' or 'NORMAL', not {synchronous!r}")
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StorageError(
                f"this Python has SQLite {sqlite3.sqlite_version}, and SqliteStorage needs "
                f"{'.'.join(map(str, _OLDEST_SQLITE))}; use a newer Python, or another storage"
            )
        from pathlib import Path  # noqa: PLC0415 - slow to import, and used on demand

        self.path = Path(path).absolute()
        if "\0" in str(self.path):
            raise InvalidStorage(f"{str(path)!r} cannot be a file: its name holds a NUL character")
        self._file = File(self.path, synchronous=synchronous)
        self._renew()
        call_at_fork(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _renew(self) -> None:
        # A file's lock is looked at again and again; among threads this one hands over at once.
        # Whoever has it is told so, and does not wait for itself.
        self._write_lock = threading.RLock()
        self._connections = Connections(self._file.open)

    @classmethod
    def from_url(cls, url: str, *, alias: str = DEFAULT_ALIAS) -> SqliteStorage:
        """Return the storage of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
        from urllib.parse import unquote  # noqa: PLC0415 - slow to import, and used on demand

        prefix = "sqlite:///"
        path = unquote(url[len(prefix) :])
        if not url.startswith(prefix) or not path:
            raise InvalidStorage(
                f"{url!r}: a SQLite storage's URL is 'sqlite:///relative.db' "
                "or 'sqlite:////absolute/path.db'"
            )
        return cls(path, alias=alias)

    def transaction(
        self, session_uid: str, manager_name: str
    ) -> AbstractContextManager[SqliteWork]:
        def open_session(connection: Connection) -> SqliteWork:
            work = SqliteWork(self, connection, session_uid)
            work.open_session(manager_name)
            return work

        return self._writing(open_session)

    @contextmanager
    def read(self, session_uid: str) -> Iterator[SqliteReader]:
        with self._looking() as connection:
            if connection.in_transaction:
                raise session_is_open()
            try:
                connection.execute("BEGIN")
                yield when_unlocked(lambda: SqliteReader(self, connection, session_uid))
            finally:
                roll_back(connection)

    def take_lost(self, *, limit: int, hold_until: float) -> list[LostInstance]:
        with self._writing(lambda connection: connection) as connection:
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
        rows = self._sessions_after(_BEFORE_THE_FIRST)
        while rows:
            for _, session_uid, manager_name in rows:
                yield decode_session(session_uid, manager_name)
            last, rows = rows[-1][0], self._sessions_after(rows[-1][0])
            if rows and rows[-1][0] <= last:  # as in a tree whose order is lost, for ever
                raise damaged(f"SQLite storage {self.path}", "its sessions are out of order")

    def close(self) -> None:
        """Close the file. It may be removed then: the next change makes a new one."""
        self._connections.close()
        self._file.was_open = False

    def exists(self) -> bool:
        return not self._is_missing()

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
    def _writing(self, begin: Callable[[Connection], Begun]) -> Iterator[Begun]:
        """Give what ``begin`` returns, which is called in a transaction that may write; commit."""
        self._close_unless_it_may_write()
        with self._write_lock, self._connection() as connection:
            if connection.in_transaction:
                raise session_is_open()
            if not connection.may_write:
                raise sqlite3.OperationalError(MAY_ONLY_READ)
            try:
                when_unlocked(lambda: connection.execute("BEGIN IMMEDIATE"))
                yield begin(connection)
                connection.execute("COMMIT")
            except BaseException:
                roll_back(connection)
                raise
            self._file.check_committed(connection)

    def _close_unless_it_may_write(self) -> None:
        """Have this thread's connection opened again: what was refused may be allowed by now."""
        connection = self._connections.current()
        if connection is not None and not (connection.may_write or connection.in_transaction):
            connection.close()

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to look with: before the folder has such a file, to an empty store."""
        if not self._file.was_open and self._is_missing():
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.executescript("".join(STEPS))
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
    def _connection(self) -> Iterator[Connection]:
        """Give this thread's connection, to the file that stands at the path; nobody closes it
        before the body is left, and no transaction is left open that the body began."""
        try:
            while True:
                connection = self._connections.own()
                with connection.in_use:
                    if connection.is_open and not connection.in_transaction:
                        self._file.check(connection)
                    if connection.is_open:
                        is_amid = connection.in_transaction
                        try:
                            yield connection
                        finally:
                            # Once more: what a signal's handler raised, as at Celery's soft time
                            # limit, may have come between the body and its own roll-back.
                            if not is_amid:
                                roll_back(connection)
                                self._file.check_read(connection)
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
        return StorageError(f"{said}, and everything committed before stands{_advice(error)}")


def _advice(error: Exception) -> str:
    if any(said in str(error) for said in _OF_THE_DISK):
        return ". Make room on the disk, then do it again"
    return f". {ADVICE_IF_REFUSED}" if is_refusal(error) else ""
