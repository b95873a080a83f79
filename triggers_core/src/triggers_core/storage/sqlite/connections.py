"""Connections to the file: one a thread, none across a fork; and how a lock is waited for.

A lock is waited for here, and not in SQLite, whose busy handler sleeps for 1, 2, 5 and up to 100
milliseconds where another process holds the lock for a fraction of one.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")
Mark = tuple[int, ...]
"""What tells a file from another that stood, or stands, at its path."""

BUSY_TIMEOUT_SECONDS = 30.0
BUSY_PAUSES_SECONDS = (0.00005, 0.01)
"""The first and the longest between two looks at a lock."""
_LOCKED = "database is locked"
"""What SQLite says; before Python 3.11 an error has no code."""


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


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo the transaction that is open, if one is."""
    # Where it fails by the disk or by damage, SQLite has undone everything by itself.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


class Connection(sqlite3.Connection):
    """Closes itself when the thread that used it is gone.

    Attributes:
        mark: of the file that it was opened on; for a snapshot, of the content too.
        log_mark: of that file's write-ahead log; None where it has none.
        may_write: whether this user may write the file.
        is_snapshot: it takes no locks, and trusts that nobody writes the file.
    """

    is_open = False
    mark: Mark = ()
    log_mark: Mark | None = None
    may_write = True
    is_snapshot = False

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


class Connections:
    """One a thread, opened when it is needed.

    None is open across a fork. SQLite keeps its locks by process: what a fork's child inherits
    looks locked to it, and open, when it is neither, and what the child wrote could be lost.
    """

    def __init__(self, connect: Callable[[list[Connection]], Connection]) -> None:
        """Take what opens one, given those that may be open."""
        self._connect = connect
        self._local = threading.local()
        self._opening = threading.RLock()
        self._open: WeakSet[Connection] = WeakSet()
        self._resting: list[Connection] = []

    def current(self) -> Connection | None:
        """Return this thread's; None where it has none that is open."""
        connection: Connection | None = getattr(self._local, "connection", None)
        return connection if connection is not None and connection.is_open else None

    def own(self) -> Connection:
        """Return this thread's."""
        connection = self.current()
        if connection is None:
            with self._opening:
                connection = self._local.connection = self._connect(list(self._open))
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
