"""The file under the connections: whether it is still the one that was opened, and how it is opened
by whoever may write it or may only read it.

A process that has a file open goes on with it when it is removed or replaced, and what it writes
then is lost. So each connection keeps a mark of its file, to compare with what stands at the path.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING

from triggers_core.errors import OutcomeUnknown, StorageError
from triggers_core.storage.base import SCHEMA_VERSION
from triggers_core.storage.sqlite.connections import Connection, Mark, when_unlocked
from triggers_core.storage.sqlite.schema import prepare, version_of

if TYPE_CHECKING:
    from pathlib import Path  # slow to import

_LOG = "-wal"
_OF_A_WRITER = (_LOG, "-journal")
"""Stand beside the file while somebody has it open to write, or died with it open."""
MAY_ONLY_READ = "this user may only read it"
_REFUSALS = (
    MAY_ONLY_READ,
    "attempt to write a readonly database",
    "unable to open database file",
)
"""The last two are what SQLite says; before Python 3.11 an error has no code."""
ADVICE_IF_REFUSED = (
    "Let this user write the file, its folder, and the -wal and -shm beside it, "
    "or do it as one who may"
)


def is_refusal(error: Exception) -> bool:
    """Return whether it may be that this user may not write the file or its folder."""
    return any(said in str(error) for said in _REFUSALS)


class File:
    """Opens connections to the file, and tells whether they still are to it.

    Attributes:
        was_open: a connection was opened; an empty store in its place would hide a loss.
    """

    def __init__(self, path: Path, *, synchronous: str) -> None:
        self.was_open = False
        self._path = path
        self._name = str(path)
        self._synchronous = synchronous

    def open(self, others: Iterable[Connection]) -> Connection:
        """Return a connection to the file, which is made with its tables if there is none.

        Args:
            others: the connections that are open.

        Raises:
            StorageError: it was open and is gone, or the log beside it is another file's.
            sqlite3.Error: it cannot be opened.
        """
        while True:
            mark = self._mark(of_content=True)
            if mark is None and self.was_open:
                raise self._is_gone()
            for other in others:
                self._check_log(other, mark)
            connection = self._open(mark)
            # What was made just now is opened again: who knows what was there before it was marked?
            if mark is not None and connection.mark == self._mark(
                of_content=connection.is_snapshot
            ):
                self.was_open = True
                return connection
            connection.close()

    def check(self, connection: Connection) -> None:
        """Close the connection, so that another is opened, if the file was replaced.

        Raises:
            StorageError: it is gone, or the log beside it is another file's.
        """
        mark = self._mark(of_content=connection.is_snapshot)
        if mark == connection.mark:
            return
        if mark is None:
            raise self._is_gone()
        self._check_log(connection, mark)
        connection.close()

    def check_committed(self, connection: Connection) -> None:
        """Raise OutcomeUnknown if what the transaction wrote may be lost."""
        if self._mark() != connection.mark:
            raise OutcomeUnknown(
                f"SQLite storage {self._path}: the file was removed or replaced amid this "
                "change, and whether it is in the file that is used from now on is not known. With "
                "an event_id, do it again; without one, look at the session first"
            )

    def check_read(self, connection: Connection) -> None:
        """Raise StorageError if what was read may be half old and half new."""
        if connection.is_snapshot and self._mark(of_content=True) != connection.mark:
            raise StorageError(
                f"SQLite storage {self._path}: it was written while it was read by this user, who "
                "may only read it and so could not keep it as it was. Look again"
            )

    def _mark(self, *, of_content: bool = False) -> Mark | None:
        """Return what tells the file, or its content too, from another; None where none is."""
        try:
            found = os.stat(self._name)  # twice in a change, and a Path takes longer
        except OSError:
            return None
        mark = (found.st_dev, found.st_ino)
        if not of_content:
            return mark
        return (*mark, found.st_size, found.st_mtime_ns, self._is_left_by_a_writer())

    def _log_mark(self) -> Mark | None:
        try:
            found = self._beside(_LOG).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _is_left_by_a_writer(self) -> bool:
        return any(self._beside(end).exists() for end in _OF_A_WRITER)

    def _beside(self, end: str) -> Path:
        real = self._path.resolve()  # SQLite has them where a link leads
        return real.with_name(real.name + end)

    def _check_log(self, connection: Connection, mark: Mark | None) -> None:
        """Raise StorageError if the connection is to the file before this one, and the log beside
        this one is still of that: SQLite would take it for this one's, and write it in."""
        if (
            connection.is_open
            and mark is not None
            and connection.mark[:2] != mark[:2]
            and connection.log_mark is not None
            and connection.log_mark == self._log_mark()
        ):
            raise StorageError(
                f"SQLite storage {self._path}: the file that was open has been replaced, and the "
                "write-ahead log of the old one is still beside it, which would damage the new "
                "one; this change was not made. Stop every process that uses the store, remove "
                f"{self._path}-wal and {self._path}-shm, and put the new file there once more"
            )

    def _is_gone(self) -> StorageError:
        return StorageError(
            f"SQLite storage {self._path}: the file that was open is no longer there; this change "
            "was not made. Restore a backup: stop every process that uses the store, remove "
            f"{self._path}-wal and {self._path}-shm, and put the backup there. To begin with an "
            "empty store, start this process anew"
        )

    def _open(self, mark: Mark | None) -> Connection:
        if mark is None:
            return self._connect("mode=rwc")
        if os.access(self._name, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            try:
                return self._connect("mode=rw", mark[:2])
            except sqlite3.OperationalError as error:
                if not is_refusal(error):
                    raise
        # Who may only read it reads the log of a writer too. Without a writer there is none, and
        # whatever a writer changes is seen by the mark.
        if self._is_left_by_a_writer():
            return self._connect("mode=ro", mark[:2], may_write=False)
        return self._connect("mode=ro&immutable=1", mark, may_write=False)

    def _connect(self, how: str, mark: Mark = (), *, may_write: bool = True) -> Connection:
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?{how}",
            uri=True,
            timeout=0.0,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        try:
            connection.mark = mark
            connection.may_write = may_write
            connection.is_snapshot = "immutable" in how
            when_unlocked(lambda: self._prepare(connection))
            connection.log_mark = self._log_mark()
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Connection) -> None:
        if connection.may_write:
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            prepare(connection, self._path)
        else:
            self._check_readable(version_of(connection, self._path))

    def _check_readable(self, version: int) -> None:
        """Raise StorageError if the file, which this user may not write, is not one to read yet."""
        if version == SCHEMA_VERSION:
            return
        if version == 0:
            state = "is empty"
        else:
            state = f"has schema version {version}, which opening it upgrades to {SCHEMA_VERSION}"
        raise StorageError(
            f"SQLite storage {self._path}: it {state}, and this user may only read it. "
            f"{ADVICE_IF_REFUSED}"
        )
