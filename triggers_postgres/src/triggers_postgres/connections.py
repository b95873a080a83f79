"""Connections to the server: a bounded pool in each process, opened when it is first needed, and
what is tried again when one breaks."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakSet

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ConnectionTimeout
from psycopg_pool import ConnectionPool, PoolTimeout

from triggers_core.errors import InvalidStorage, StorageError, TriggersError
from triggers_postgres.server import Connection

Begun = TypeVar("Begun")

RETRY_PAUSES_SECONDS = (0.0, 0.1, 0.3, 1.0)
"""Before each further try of what failed with nothing begun."""

RECONNECT_SECONDS = 10.0
"""How long the pool goes on trying for one connection, ever more rarely; then it starts anew for
those who wait, or for whoever asks next."""

BESIDE_AFTER_SECONDS = 1.0
"""How long a connection of the pool is waited for by who must not wait."""

_PASSING = ("08", "25P03", "40", "53", "57P")
"""Classes of errors that may be gone at the next try: connection lost, ended for its idleness,
transaction to be repeated, too little of something, server going down or coming up."""

CONNECT_TIMEOUT_VARIABLE = "PGCONNECT_TIMEOUT"
"""By which libpq takes a default of its own, which a parameter of ours would override."""

_DEFAULTS = {
    "fallback_application_name": "triggers",
    "connect_timeout": "10",
    # A server that vanished is noticed within a minute, not after hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_SHOWN = ("user", "dbname", "host", "hostaddr", "port", "service")


class Connections:
    """What one storage has open.

    Args:
        conninfo: a URL or a libpq connection string.
        prepare: called with the first connection of each process.
        size: how many connections a process opens at most.
        timeout: seconds to wait for one of them, and for a lock.
        prepares: whether statements are prepared; None for where no pooler is in between.

    Raises:
        StorageError: the URL is none; it is not shown, as it may hold a password.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        prepare: Callable[[Connection], None],
        size: int,
        timeout: float,
        prepares: bool | None = None,
    ) -> None:
        given = _parsed(conninfo)
        self.shown = make_conninfo(**{key: given[key] for key in _SHOWN if key in given})
        self._conninfo = make_conninfo(**{**_defaults(), **given, "client_encoding": "utf8"})
        self._prepare = prepare
        self._size = size
        self._timeout = timeout
        self._prepares = prepares
        self._processes: dict[int, _Process] = {}
        _ALL.add(self)

    @contextmanager
    def begun(self, begin: Callable[[Connection], Begun]) -> Iterator[tuple[Connection, Begun]]:
        """Lend a connection, and what ``begin`` returned for it.

        While ``begin`` fails by what may pass, it is called again, if need be with another
        connection; the body is entered once. A transaction that it leaves open is undone.
        """
        loan = _Loan(self._process())
        try:
            try:
                begun = self._begin(loan, begin)
                try:
                    yield loan.connection, begun
                except TriggersError as error:
                    loan.is_whole = not isinstance(error, StorageError)
                    raise
                loan.is_whole = True
            finally:
                loan.end()
        finally:
            # Once more: what a signal's handler raised, as at Celery's soft time limit, may have
            # come in place of the first.
            loan.end()

    def ask(self, question: Callable[[Connection], Begun]) -> Begun:
        """Return what ``question`` returns for the connection that this thread has been lent, or
        for another; then it is asked again as in :meth:`begun`."""
        lent = self._process().lent_to_this_thread
        if lent is not None:
            return question(lent)
        with self.begun(question) as (_, answer):
            return answer

    def ask_beside(self, question: Callable[[Connection], Begun]) -> Begun:
        """Return what ``question`` returns, though all connections of the pool may be lent to those
        who wait for a lock: after a moment it is asked on one of its own. It is asked again there
        if the pool's connection is broken, and should not mind."""
        try:
            with self._pool(self._process()).connection(BESIDE_AFTER_SECONDS) as lent:
                return question(lent)
        except psycopg.OperationalError:
            with Connection.connect(self._conninfo, autocommit=True) as own:
                self._configure(own)
                return question(own)

    @property
    def is_lent(self) -> bool:
        """Whether this thread is in the body of a :meth:`begun`."""
        return self._process().lent_to_this_thread is not None

    def close(self) -> None:
        """Close the pool of this process; connections that are lent, when they come back."""
        process = self._process()
        with process.lock:
            pool, process.pool = process.pool, None
        if pool is not None:
            pool.close()

    def _begin(self, loan: _Loan, begin: Callable[[Connection], Begun]) -> Begun:
        pauses = iter(RETRY_PAUSES_SECONDS)
        while True:
            try:
                pool = self._pool(loan.process)
                loan.begin(pool, self._lend(pool))
                return begin(loan.connection)
            except psycopg.OperationalError as error:
                loan.end()
                pause = next(pauses, None)
                # Whoever says how long to wait for a server means all of the time.
                if pause is None or not may_pass(error) or isinstance(error, ConnectionTimeout):
                    raise
            # Where one connection is broken, others that were idle often are.
            if loan.process.pool is not None:
                loan.process.pool.check()
            time.sleep(pause)

    def _lend(self, pool: ConnectionPool[Connection]) -> Connection:
        process = self._process()
        try:
            connection = pool.getconn()
        except PoolTimeout:
            why = self._why_none(pool, was_away=_failures(pool) > process.failures)
            raise PoolTimeout(f"no connection to be had for {self._timeout:g} s: {why}") from None
        process.failures = _failures(pool)
        return connection

    def _why_none(self, pool: ConnectionPool[Connection], *, was_away: bool) -> str:
        try:
            psycopg.connect(self._conninfo).close()
        except psycopg.Error as error:
            return str(error)
        if was_away:
            return "the server was away meanwhile, and answers again"
        if pool.get_stats()["pool_size"] < self._size:
            return "the server, or a pooler before it, lets a further one wait"
        return f"all {self._size} of this process are in use; a larger pool_size may help"

    def _pool(self, process: _Process) -> ConnectionPool[Connection]:
        with process.lock:
            if process.pool is None:
                with Connection.connect(self._conninfo, autocommit=True) as connection:
                    self._configure(connection)
                    self._prepare(connection)
                pool = ConnectionPool(
                    self._conninfo,
                    connection_class=Connection,
                    kwargs={"autocommit": True},
                    configure=self._configure,
                    min_size=1,
                    max_size=self._size,
                    timeout=self._timeout,
                    reconnect_timeout=RECONNECT_SECONDS,
                    reconnect_failed=_go_on_for_those_who_wait,
                    name="triggers",
                    open=False,
                )
                pool.open()
                process.pool, process.failures = pool, 0
            return process.pool

    def _configure(self, connection: Connection) -> None:
        connection.set_up(lock_timeout=self._timeout, prepare=self._prepares)

    def _process(self) -> _Process:
        """Connections must not cross a fork: the child leaves its parent's alone, unclosed."""
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())


_ALL: WeakSet[Connections] = WeakSet()


@atexit.register
def _close_all() -> None:
    """A pool that is open when the interpreter is gone waits in vain for its own threads."""
    for connections in list(_ALL):
        connections.close()


class _Process:
    """What belongs to one process: its pool, and what is lent to each of its threads.

    Attributes:
        failures: how often the pool had tried in vain to connect when it last lent something.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.pool: ConnectionPool[Connection] | None = None
        self.failures = 0
        self._local = threading.local()

    @property
    def lent_to_this_thread(self) -> Connection | None:
        return getattr(self._local, "connection", None)

    @lent_to_this_thread.setter
    def lent_to_this_thread(self, connection: Connection | None) -> None:
        self._local.connection = connection


class _Loan:
    """A connection that is lent to this thread, until it is given back.

    Attributes:
        is_whole: the body has come to its end, or a rule has refused what it was to do. A
            connection that any other exception left is closed: it may come from a signal's
            handler, and then neither psycopg nor libpq need know what the server has begun.
    """

    def __init__(self, process: _Process) -> None:
        self.process = process
        self.is_whole = False
        self._outer = process.lent_to_this_thread
        self._pool: ConnectionPool[Connection] | None = None
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        assert self._connection is not None  # between begin and end
        return self._connection

    def begin(self, pool: ConnectionPool[Connection], connection: Connection) -> None:
        connection.forget_unsent()  # of whoever had it before, and did not commit
        self._pool, self._connection = pool, connection
        self.process.lent_to_this_thread = connection

    def end(self) -> None:
        """Give the connection back, if that is still to be done."""
        self.process.lent_to_this_thread = self._outer
        pool, connection = self._pool, self._connection
        if pool is None or connection is None:
            return
        if self.process.pid != os.getpid():
            return  # of a fork's child, which has left its parent's alone
        if self.is_whole:
            self.is_whole = False  # should this be interrupted
            _undo(connection)
        else:
            connection.close()
        pool.putconn(connection)
        self._pool = self._connection = None


def _failures(pool: ConnectionPool[Connection]) -> int:
    """Return how often the pool has tried in vain to connect."""
    return pool.get_stats().get("connections_errors", 0)


def _go_on_for_those_who_wait(pool: ConnectionPool[Connection]) -> None:
    """A pool that has given up connects again when it is next asked. Whoever has asked before would
    wait in vain, though the server may be back."""
    if pool.get_stats()["requests_waiting"]:
        pool.check()  # which lets it grow


def _undo(connection: Connection) -> None:
    try:
        connection.rollback()  # nothing, unless a transaction is open
    except psycopg.Error:
        connection.close()


def may_pass(error: Exception) -> bool:
    """Return whether the same may succeed at the next try."""
    if isinstance(error, PoolTimeout) or not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_PASSING)


def _defaults() -> dict[str, str]:
    defaults = dict(_DEFAULTS)
    if CONNECT_TIMEOUT_VARIABLE in os.environ:
        del defaults["connect_timeout"]
    return defaults


def _parsed(conninfo: str) -> dict[str, Any]:
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.Error:
        given = {"port": "none"}
    # Where a password has '@' or '/' as they are, parts of it end up in these.
    is_sound = all(not port or port.isdigit() for port in str(given.get("port", 0)).split(","))
    if not is_sound or any("@" in str(given.get(key)) for key in ("host", "dbname")):
        raise InvalidStorage(
            "this is no PostgreSQL URL (it is not shown, as it may hold a password); expected "
            "postgresql://user:password@host:port/database, with every character of the user "
            "and password but letters and digits percent-encoded, '@' as %40"
        ) from None
    return given
