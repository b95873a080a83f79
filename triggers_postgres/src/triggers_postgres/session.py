"""One session in the tables: what a transaction on it reads and writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Literal

from triggers_core.rules.closing import Closing
from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.kwargs import to_json
from triggers_core.storage.base import Storage
from triggers_core.storage.row import COLUMNS, encode_closing, encode_instance
from triggers_core.storage.sql import SqlReader, SqlWork
from triggers_postgres.schema import render
from triggers_postgres.server import Connection, pipeline

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_KEY = COLUMNS[:2]  # task_name, number
_COLUMNS = SQL(", ").join(map(SQL, COLUMNS))
_VALUES = SQL(", ").join(SQL("%s") for _ in COLUMNS)
_REPLACED = SQL(", ").join(
    SQL("{column} = excluded.{column}").format(column=SQL(column)) for column in COLUMNS[2:]
)


class Statements:
    """The statements on the tables of one schema. Each is an index look-up."""

    def __init__(self, schema: str) -> None:
        def statement(text: LiteralString) -> bytes:
            return render(text, schema, columns=_COLUMNS, values=_VALUES, replaced=_REPLACED)

        self.find = statement(
            "SELECT id, manager_name, config_digest, closed FROM {sessions} WHERE uid = %s"
        )
        self.lock = statement(
            "SELECT id, manager_name, config_digest, closed, pg_current_xact_id()::text "
            "FROM {sessions} WHERE uid = %s FOR UPDATE"
        )
        self.make = statement(
            "INSERT INTO {sessions} (uid, manager_name) VALUES (%s, %s) ON CONFLICT DO NOTHING "
            "RETURNING id, manager_name, config_digest, closed, pg_current_xact_id()::text"
        )
        self.has_trace = statement(
            "SELECT EXISTS (SELECT FROM ("
            "SELECT xmin FROM {sessions} WHERE id = %(id)s "
            "UNION ALL SELECT xmin FROM {instances} WHERE session_id = %(id)s "
            "UNION ALL SELECT xmin FROM {triggers} WHERE session_id = %(id)s "
            "UNION ALL SELECT xmin FROM {events} WHERE session_id = %(id)s"
            ") AS rows (writer) WHERE writer = %(by)s::xid8::xid)"
        )
        self.instances = statement("SELECT {columns} FROM {instances} WHERE session_id = %s")
        self.waiting = statement(
            "SELECT {columns} FROM {waiting} "
            "JOIN {instances} USING (session_id, task_name, number) "
            "WHERE session_id = %s AND trigger_name = %s ORDER BY task_name, number"
        )
        self.last_number = statement(
            "SELECT number FROM {instances} WHERE session_id = %s AND task_name = %s "
            "ORDER BY number DESC LIMIT 1"
        )
        self.latest = statement(
            "SELECT name, kwargs FROM {triggers} WHERE session_id = %s AND name = ANY(%s)"
        )
        self.firing_count = statement(
            "SELECT coalesce((SELECT position FROM {firings} WHERE session_id = %s AND name = %s "
            "ORDER BY position DESC LIMIT 1), 0) + (SELECT count(*) FROM {triggers} "
            "WHERE session_id = %s AND name = %s AND NOT is_logged)"
        )
        self.firings = statement(
            "SELECT kwargs FROM {firings} WHERE session_id = %s AND name = %s "
            "ORDER BY position LIMIT %s"
        )
        self.fired = statement("SELECT name FROM {triggers} WHERE session_id = %s")
        self.last_fired_at = statement("SELECT max(fired_at) FROM {triggers} WHERE session_id = %s")
        self.outcome = statement(
            "SELECT outcome FROM {events} WHERE session_id = %s AND event_id = %s"
        )
        self.active = statement(
            "SELECT 1 FROM {instances} WHERE session_id = %s "
            "AND status IN ('scheduled', 'running') LIMIT 1"
        )
        self.keep_configuration = statement(
            "INSERT INTO {configurations} (digest, body) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        )
        self.configure = statement("UPDATE {sessions} SET config_digest = %s WHERE id = %s")
        self.close = statement("UPDATE {sessions} SET closed = %s WHERE id = %s")
        self.save = statement(
            "INSERT INTO {instances} (session_id, {columns}) VALUES (%s, {values}) "
            "ON CONFLICT (session_id, task_name, number) DO UPDATE SET {replaced}"
        )
        self.wait = statement(
            "INSERT INTO {waiting} (session_id, task_name, number, trigger_name) "
            "SELECT %s, %s, %s, unnest(%s::text[])"
        )
        self.wait_no_more = statement(
            "DELETE FROM {waiting} WHERE session_id = %s AND task_name = %s AND number = %s "
            "AND trigger_name = ANY(%s)"
        )
        self.remember = statement(
            "INSERT INTO {triggers} (session_id, name, kwargs, fired_at, is_logged) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (session_id, name) DO UPDATE "
            "SET kwargs = excluded.kwargs, fired_at = excluded.fired_at, "
            "is_logged = excluded.is_logged"
        )
        self.log_firing = statement(
            "INSERT INTO {firings} (session_id, name, position, kwargs, fired_at) "
            "SELECT %(id)s, %(name)s, coalesce((SELECT position FROM {firings} WHERE "
            "session_id = %(id)s AND name = %(name)s ORDER BY position DESC LIMIT 1), 0) + 1, "
            "%(kwargs)s, %(at)s"
        )
        self.log_latest = statement(
            "WITH latest AS (UPDATE {triggers} SET is_logged = true "
            "WHERE session_id = %(id)s AND name = %(name)s AND NOT is_logged "
            "RETURNING kwargs, fired_at) "
            "INSERT INTO {firings} (session_id, name, position, kwargs, fired_at) "
            "SELECT %(id)s, %(name)s, coalesce((SELECT position FROM {firings} WHERE "
            "session_id = %(id)s AND name = %(name)s ORDER BY position DESC LIMIT 1), 0) + 1, "
            "kwargs, fired_at FROM latest"
        )
        self.record = statement(
            "INSERT INTO {events} (session_id, event_id, outcome) VALUES (%s, %s, %s)"
        )
        self._take_lost = (
            # What is under change is not lost: it is skipped, and never waited for.
            """
            WITH lost AS (
                SELECT session_id, task_name, number, recover_at AS lost_at, manager_name, uid
                FROM {instances} JOIN {sessions} ON sessions.id = instances.session_id
                WHERE recover_at <= %(now)s
                ORDER BY recover_at
                LIMIT {limit}
                FOR UPDATE OF instances, sessions SKIP LOCKED
            ), held AS (
                UPDATE {instances} SET recover_at = %(hold_until)s
                FROM lost
                WHERE instances.session_id = lost.session_id
                AND instances.task_name = lost.task_name AND instances.number = lost.number
                RETURNING lost.lost_at, lost.manager_name, lost.uid, instances.*
            )
            SELECT manager_name, uid, {columns} FROM held ORDER BY lost_at
            """
        )
        self.renew = statement(
            # No session is locked, and none that is locked is waited for: only the row itself may
            # be under change, and is left to whoever changes it. READ COMMITTED looks again at a
            # row that has changed, so that nothing is renewed that has ended.
            """
            WITH alive AS (
                SELECT instances.session_id, task_name, number, held.seconds
                FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::float8[])
                    AS held (uid, task_name, number, seconds)
                JOIN {sessions} USING (uid)
                JOIN {instances} USING (task_name, number)
                WHERE instances.session_id = sessions.id AND status = 'running'
                FOR UPDATE OF instances SKIP LOCKED
            )
            UPDATE {instances}
            SET recover_at = extract(epoch FROM clock_timestamp())::float8 + alive.seconds
            FROM alive
            WHERE instances.session_id = alive.session_id
            AND instances.task_name = alive.task_name AND instances.number = alive.number
            AND status = 'running'
            """
        )
        self._schema = schema
        self.sessions = statement(
            "SELECT id, uid, manager_name FROM {sessions} WHERE id > %s ORDER BY id LIMIT %s"
        )
        self.configuration = statement("SELECT body FROM {configurations} WHERE digest = %s")
        self.delete = (
            statement("DELETE FROM {waiting} WHERE session_id = %s"),
            statement("DELETE FROM {instances} WHERE session_id = %s"),
            statement("DELETE FROM {triggers} WHERE session_id = %s"),
            statement("DELETE FROM {firings} WHERE session_id = %s"),
            statement("DELETE FROM {events} WHERE session_id = %s"),
            statement("DELETE FROM {sessions} WHERE id = %s"),
        )

    def take_lost(self, limit: int) -> bytes:
        """Return the statement that takes so many. It says the number itself: for one that is a
        parameter the server may plan to look at each instance there is."""
        return render(self._take_lost, self._schema, columns=_COLUMNS, limit=Literal(limit))


class _Reading(SqlReader):
    """How both halves read: by one cursor, since what is read is fetched at once."""

    _statements: Statements

    def __init__(
        self,
        storage: Storage,
        statements: Statements,
        connection: Connection,
        session_uid: str,
    ) -> None:
        super().__init__(storage, statements, session_uid)
        self._statements = statements
        self._connection = connection
        self._cursor = connection.cursor()

    def instance(self, task_name: str, number: int) -> TaskInstance | None:
        query = self._statements.instances + b" AND task_name = %s AND number = %s"
        found = self._instances(query, task_name, number)
        return found[0] if found else None

    def instances(
        self, *, task_name: str | None = None, statuses: Collection[Status] | None = None
    ) -> list[TaskInstance]:
        query = self._statements.instances
        values: list[Any] = []
        if task_name is not None:
            query += b" AND task_name = %s"
            values.append(task_name)
        if statuses is not None:
            query += b" AND status = ANY(%s)"
            values.append([status.value for status in statuses])
        return self._instances(query + b" ORDER BY task_name, number", *values)

    def _latest(self, trigger_names: Iterable[str]) -> Iterable[tuple[str, Any]]:
        return self._read(self._statements.latest, list(trigger_names))

    def _read(self, statement: bytes, *values: Any) -> psycopg.Cursor[Any]:
        return self._cursor.execute(statement, (self._id, *values))


class PostgresReader(_Reading):
    """A session as it stands in the transaction that is open on the connection."""

    def open(self) -> None:
        """Find the session."""
        found = self._cursor.execute(self._statements.find, (self._uid,)).fetchone()
        if found is not None:
            self._id, self._manager_name, self._config_digest, self._closed = found


class PostgresWork(_Reading, SqlWork):
    """The session, locked until the transaction ends.

    What is written is sent before the next read, or with the end: together, so that all of it costs
    one round trip.

    Attributes:
        transaction_id: by which the server knows what became of this transaction.
        has_written: whether there is anything to be found of it.
    """

    transaction_id: str

    def __init__(
        self,
        storage: Storage,
        statements: Statements,
        connection: Connection,
        session_uid: str,
    ) -> None:
        super().__init__(storage, statements, connection, session_uid)
        self._unsent: list[tuple[bytes, tuple[Any, ...] | Mapping[str, Any]]] = []
        self.has_written = False

    @property
    def session_id(self) -> int:
        """The session's number in the store."""
        return self._id

    def commit(self) -> psycopg.Cursor[Any]:
        """Send what is left, and end the transaction; return the server's answer."""
        with pipeline(self._connection):
            self._send()
            return self._connection.execute("COMMIT")

    def open_or_make(self, manager_name: str) -> None:
        """Find the session, or make it, and lock it: the next who opens it waits here."""
        find, make = self._statements.lock, self._statements.make
        found = None
        # Another may make it just before this one would, and another yet delete it again.
        while found is None:
            found = (
                self._cursor.execute(find, (self._uid,)).fetchone()
                or self._cursor.execute(make, (self._uid, manager_name)).fetchone()
            )
        *of_the_session, self.transaction_id = found
        self._id, self._manager_name, self._config_digest, self._closed = of_the_session

    def configure(self, configuration: Configuration) -> None:
        digest = configuration.digest
        self._write(self._statements.keep_configuration, digest, configuration.to_json())
        self._write(self._statements.configure, digest, self._id)
        self._send()  # the storage, which is to find it from now on, reads by itself
        self._config_digest = digest

    def close_session(self, closing: Closing) -> None:
        self._closed = encode_closing(closing)
        self._write(self._statements.close, self._closed, self._id)

    def save(self, instance: TaskInstance) -> None:
        key = (self._id, instance.task_name, instance.number)
        gone, new = self._change_of_waits(instance)
        self._write(self._statements.save, self._id, *encode_instance(instance))
        if gone:
            self._write(self._statements.wait_no_more, *key, gone)
        if new:
            self._write(self._statements.wait, *key, new)

    def remember_trigger(
        self,
        trigger_name: str,
        trigger_kwargs: Mapping[str, Any],
        *,
        at: float,
        is_logged: bool = False,
    ) -> None:
        kwargs = to_json(trigger_kwargs)
        self._write(self._statements.remember, self._id, trigger_name, kwargs, at, is_logged)

    def log_firing(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], *, at: float
    ) -> None:
        values = {"id": self._id, "name": trigger_name, "kwargs": to_json(trigger_kwargs), "at": at}
        self._write_named(self._statements.log_firing, values)

    def log_latest(self, trigger_name: str) -> None:
        values = {"id": self._id, "name": trigger_name}
        self._write_named(self._statements.log_latest, values)

    def record_outcome(self, event_id: str, outcome: Mapping[str, Any]) -> None:
        self._write(self._statements.record, self._id, event_id, to_json(outcome))

    def delete(self) -> None:
        for statement in self._statements.delete:
            self._write(statement, self._id)

    def _read(self, statement: bytes, *values: Any) -> psycopg.Cursor[Any]:
        if self._unsent:
            with pipeline(self._connection):
                self._send()
        return super()._read(statement, *values)

    def _write(self, query: bytes, *values: Any) -> None:
        self._write_named(query, values)

    def _write_named(self, query: bytes, values: tuple[Any, ...] | Mapping[str, Any]) -> None:
        self.has_written = True
        self._unsent.append((query, values))

    def _send(self) -> None:
        for query, values in self._unsent:
            self._cursor.execute(query, values)
        self._unsent.clear()
