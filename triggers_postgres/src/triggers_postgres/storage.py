"""Sessions in PostgreSQL: for any number of machines, with one clock for all of them.

A transaction locks its session's row, so that one session's changes are serial and no session
waits for another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

import psycopg
from psycopg import errors

from triggers_core.errors import InvalidStorage, OutcomeUnknown, StorageError, TransientStorageError
from triggers_core.rules.config import Configuration
from triggers_core.storage.base import (
    DEFAULT_ALIAS,
    Foreseen,
    HeldLease,
    LostInstance,
    SessionReader,
    Storage,
    session_is_open,
)
from triggers_postgres.ahead import NOTHING
from triggers_postgres.clock import Reading
from triggers_postgres.connections import Connections, may_pass
from triggers_postgres.schema import check_schema_name, prepare_schema
from triggers_postgres.server import Connection
from triggers_postgres.session import (
    MoreThanOneLook,
    OneLook,
    PostgresReader,
    PostgresWork,
)
from triggers_postgres.statements import Statements

DEFAULT_SCHEMA = "triggers"
DEFAULT_POOL_SIZE = 10
DEFAULT_TIMEOUT_SECONDS = 30.0
OWN_OPTIONS = ("schema", "pool_size", "prepare")
"""In a URL's query; every other one is libpq's."""

PREPARE = {"on": True, "off": False}
"""What ``prepare`` may be there."""

ASK_PAUSES_SECONDS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""Before each time the server is asked what became of a commit that it did not answer."""

SESSIONS_AT_ONCE = 1000

Answer = TypeVar("Answer")

_logger = logging.getLogger(__name__)


class PostgresStorage(Storage):
    """Keeps sessions in a schema of a PostgreSQL database, made at first use.

    Args:
        conninfo: a URL or a libpq connection string; what it leaves out comes from libpq's
            environment variables and files.
        schema: where the tables are. Storages in different schemas know nothing of each other.
        pool_size: how many connections each process opens at most.
        timeout: seconds to wait for a connection, and for a session that another transaction
            has locked.
        prepare: whether statements that come again are prepared. None for where no pooler is in
            between, which each connection finds out when it is opened. False also for poolers
            that hide it; True for those that follow what is prepared.

    Raises:
        StorageError: an argument cannot be used.
    """

    name = "postgresql"

    def __init__(
        self,
        conninfo: str = "",
        *,
        alias: str = DEFAULT_ALIAS,
        schema: str = DEFAULT_SCHEMA,
        pool_size: int = DEFAULT_POOL_SIZE,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        prepare: bool | None = None,
    ) -> None:
        super().__init__(alias=alias)
        if pool_size < 1:
            raise InvalidStorage(f"pool_size must be 1 or more, not {pool_size}")
        self.schema = check_schema_name(schema)
        self._connections = Connections(
            conninfo,
            prepare=partial(prepare_schema, schema=schema),
            size=pool_size,
            timeout=timeout,
            prepares=prepare,
        )
        self._statements = Statements(schema)
        self._usual_digests: dict[str, str] = {}  # by manager, of the last session of each
        self._reading: Reading | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connections.shown!r}, schema={self.schema!r})"

    @classmethod
    def from_url(cls, url: str, *, alias: str = DEFAULT_ALIAS) -> PostgresStorage:
        """Return the storage at ``postgresql://user:password@host:port/database``.

        The query may have ``schema``, ``pool_size``, ``prepare=on`` or ``off``, and every
        parameter of libpq.
        """
        base, mark, query = url.rpartition("?")
        own: dict[str, str] = {}
        others: list[str] = []
        for option in query.split("&") if mark else ():
            key, _, value = option.partition("=")
            if key in OWN_OPTIONS:
                own[key] = unquote(value)
            else:
                others.append(option)
        conninfo = f"{base}?{'&'.join(others)}" if mark else url
        if not conninfo.startswith(("postgresql://", "postgres://")):
            raise InvalidStorage("a PostgreSQL storage's URL begins with postgresql://")
        pool_size = own.get("pool_size", str(DEFAULT_POOL_SIZE))
        if not pool_size.isdecimal():
            raise InvalidStorage(f"pool_size must be a number of connections, not {pool_size!r}")
        prepare = own.get("prepare")
        if prepare is not None and prepare not in PREPARE:
            raise InvalidStorage(
                f"prepare must be on or off, not {prepare!r}; left out, it is on where no pooler "
                "is in between"
            )
        return cls(
            conninfo,
            alias=alias,
            schema=own.get("schema", DEFAULT_SCHEMA),
            pool_size=int(pool_size),
            prepare=None if prepare is None else PREPARE[prepare],
        )

    def transaction(
        self, session_uid: str, manager_name: str
    ) -> AbstractContextManager[PostgresWork]:
        """Open the session, made if it is new, for one atomic change.

        Where the connection is lost in the middle of the commit, the server is asked what became
        of it, so that this too ends in a change that was made or an error that says it was not.

        Raises:
            StorageError: the store cannot be used; nothing was changed.
            OutcomeUnknown: the server could not be asked.
        """
        return self._change(session_uid, manager_name, NOTHING)

    def foreseeing(
        self,
        session_uid: str,
        manager_name: str,
        foresee: Callable[[Configuration], Foreseen],
    ) -> AbstractContextManager[PostgresWork]:
        usual = self._configurations.get(self._usual_digests.get(manager_name, ""))
        return self._change(session_uid, manager_name, foresee(usual or Configuration()))

    @contextmanager
    def _change(
        self, session_uid: str, manager_name: str, foreseen: Foreseen
    ) -> Iterator[PostgresWork]:
        if self._connections.is_lent:
            raise session_is_open()

        def begin(connection: Connection) -> PostgresWork:
            work = PostgresWork(self, self._statements, connection, session_uid)
            work.open_or_make(manager_name, foreseen)
            return work

        with self._failures():
            with self._connections.begun(begin) as (_, work):
                is_ending, lost = False, None
                try:
                    yield work
                    is_ending = True
                    _check_is_commit(work.commit())
                    self._usual_digests[manager_name] = work.config_digest or ""
                except psycopg.Error as error:
                    # Not even whether the connection is lost shows in time: a server that goes
                    # after the commit may have said so, and not have closed it yet.
                    if not is_ending:
                        raise self._failure(error, is_undone=True) from error
                    lost = error
            if lost is not None:
                self._find_out(work, lost)

    @contextmanager
    def read(self, session_uid: str) -> Iterator[PostgresReader]:
        def begin(connection: Connection) -> PostgresReader:
            reader = PostgresReader(self, self._statements, connection, session_uid)
            reader.open()
            return reader

        with self._failures(), self._connections.begun(begin) as (_, reader):
            yield reader

    def look(self, session_uid: str, question: Callable[[SessionReader], Answer]) -> Answer:
        def ask(connection: Connection) -> tuple[Answer] | None:
            try:
                return (question(OneLook(self, self._statements, connection, session_uid)),)
            except MoreThanOneLook:
                return None

        # What a transaction of this thread has not committed yet is not to be seen.
        if not self._connections.is_lent:
            with self._failures():
                found = self._connections.ask(ask)
            if found is not None:
                return found[0]
        return super().look(session_uid, question)

    def take_lost(self, *, limit: int, hold_until: float) -> list[LostInstance]:
        values = {"now": self.now(), "hold_until": hold_until}
        # Asked again after a lost answer, it leaves what it took the first time until hold_until.
        rows = self._rows(self._statements.take_lost(limit), values)
        return [
            LostInstance(manager_name, session_uid, tuple(row))
            for manager_name, session_uid, *row in rows
        ]

    def renew_leases(self, leases: Collection[HeldLease]) -> None:
        if not leases:
            return
        held = [(each.session_uid, each.task_name, each.number, each.seconds) for each in leases]
        columns = [list(column) for column in zip(*held, strict=True)]
        with self._failures():
            self._connections.ask_beside(lambda lent: lent.execute(self._statements.renew, columns))

    def sessions(self) -> Iterator[tuple[str, str]]:
        last_id = 0
        while rows := self._rows(self._statements.sessions, (last_id, SESSIONS_AT_ONCE)):
            for _, uid, manager_name in rows:
                yield uid, manager_name
            last_id = rows[-1][0]

    def now(self) -> float:
        """Return the time by the database server's clock, whatever this machine's shows.

        The server is asked once a minute; in between this machine counts the seconds.
        """
        reading = self._reading
        if reading is None or not reading.is_good:
            with self._failures():
                reading = self._reading = self._connections.ask(Reading.take)
        return reading.now()

    def close(self) -> None:
        self._connections.close()

    def _configuration_body(self, digest: str) -> str | None:
        rows = self._rows(self._statements.configuration, (digest,))
        return rows[0][0] if rows else None

    def _rows(self, statement: bytes, values: Any) -> list[tuple[Any, ...]]:
        with self._failures():
            return self._ask(statement, values)

    def _ask(self, statement: bytes, values: Any) -> list[tuple[Any, ...]]:
        return self._connections.ask(
            lambda lent: lent.ask(lent.cursor(), statement, values).fetchall()
        )

    def _find_out(self, work: PostgresWork, lost: psycopg.Error) -> None:
        """Return if the transaction is committed whose COMMIT was not answered.

        A server that crashed gives the number of a transaction that it had not yet written down
        to another one. So what this one wrote is looked for too.

        Raises:
            StorageError: it is not.
            OutcomeUnknown: the server does not say.
        """
        try:
            status = self._status_of(work.transaction_id)
            if status == "committed" and work.has_written and not self._has_trace(work):
                status = "not certain: nothing is there that it wrote"
        except psycopg.Error as error:
            status = f"not to be had ({_said(error)})"
        if status == "aborted":
            raise self._failure(lost, is_undone=True) from lost
        if status != "committed":
            raise OutcomeUnknown(
                f"PostgreSQL storage {self._connections.shown}: the connection was lost in the "
                f"middle of a commit ({_said(lost)}), and what became of it is {status}. The "
                "change is made wholly or not at all. With an event_id, fire again: that changes "
                "nothing if it is recorded. Without one, look at the session first"
            ) from lost
        _logger.warning("the connection was lost in a commit (%s), which is made", _said(lost))

    def _has_trace(self, work: PostgresWork) -> bool:
        values = {"id": work.session_id, "by": work.transaction_id}
        [(is_there,)] = self._ask(self._statements.has_trace, values)
        return bool(is_there)

    def _status_of(self, transaction_id: str) -> str:
        status = ""
        for pause in ASK_PAUSES_SECONDS:
            time.sleep(pause)
            [(status,)] = self._ask(
                b"SELECT coalesce(pg_xact_status(%s::xid8), 'forgotten')", (transaction_id,)
            )
            if status != "in progress":
                break
        return status

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, UnicodeEncodeError) as error:
            raise self._failure(error, is_undone=self._connections.is_lent) from error

    def _failure(self, error: Exception, *, is_undone: bool) -> StorageError:
        """Return the error to raise.

        Args:
            is_undone: a transaction had begun, and is undone.
        """
        kind = TransientStorageError if is_undone and may_pass(error) else StorageError
        return kind(
            f"PostgreSQL storage {self._connections.shown}: {_said(error)}; this change was "
            "not made, and everything committed before stands"
        )


def _check_is_commit(cursor: psycopg.Cursor[Any]) -> None:
    """The server answers COMMIT by rolling back, and raises nothing, once a statement failed."""
    if cursor.statusmessage != "COMMIT":
        raise psycopg.OperationalError("a statement had failed, so that the server rolled back")


def _said(error: Exception) -> str:
    """Return what the server or driver said, in one line."""
    if isinstance(error, errors.LockNotAvailable):
        return "another transaction holds the session's lock for too long"
    return " ".join(str(error).split())
