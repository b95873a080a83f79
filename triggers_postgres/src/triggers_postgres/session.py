"""One session in the tables: what a transaction on it reads and writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import psycopg

from triggers_core.rules.closing import Closing
from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.kwargs import to_json
from triggers_core.storage.base import Foreseen, Storage
from triggers_core.storage.row import encode_closing, encode_instance
from triggers_core.storage.sql import SqlReader, SqlWork
from triggers_postgres.ahead import NOTHING, Ahead
from triggers_postgres.server import Connection, pipeline
from triggers_postgres.statements import LookUps, Statements

if TYPE_CHECKING:
    pass


class _Reading(SqlReader):
    """How both halves read: by one cursor, since what is read is fetched at once."""

    _look_ups: LookUps

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
        found = self._instances(self._look_ups.instance, task_name, number)
        return found[0] if found else None

    def instances(
        self, *, task_name: str | None = None, statuses: Collection[Status] | None = None
    ) -> list[TaskInstance]:
        query = self._look_ups.instances
        values: list[Any] = []
        if task_name is not None:
            query += b" AND task_name = %s"
            values.append(task_name)
        if statuses is not None:
            query += b" AND status = ANY(%s)"
            values.append([status.value for status in statuses])
        return self._instances(query + b" ORDER BY task_name, number", *values)

    def _latest(self, trigger_names: Iterable[str]) -> Iterable[tuple[str, Any]]:
        return self._read(self._look_ups.latest, list(trigger_names))

    def _read(self, statement: bytes, *values: Any) -> psycopg.Cursor[Any]:
        return self._connection.ask(self._cursor, statement, (self._id, *values))


class PostgresReader(_Reading):
    """A session as it stands in the transaction that is open on the connection."""

    def open(self) -> None:
        """Begin the transaction, and find the session."""
        with pipeline(self._connection):
            self._connection.begin("ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self._cursor.execute(self._statements.find, (self._uid,))
        found = self._cursor.fetchone()
        if found is not None:
            self._id, self._manager_name, self._config_digest, self._closed = found


class MoreThanOneLook(Exception):
    """A question is not answered by one statement."""


class OneLook(_Reading):
    """A session as one statement shows it, which needs no transaction around it.

    Raises:
        MoreThanOneLook: a second is asked for, of which nobody knows whether it shows the same.
    """

    def __init__(
        self,
        storage: Storage,
        statements: Statements,
        connection: Connection,
        session_uid: str,
    ) -> None:
        super().__init__(storage, statements, connection, session_uid)
        self._look_ups = statements.by_uid
        self._has_looked = self._is_found = False

    def manager_name(self) -> str | None:
        self._find()
        return super().manager_name()

    def closing(self) -> Closing | None:
        self._find()
        return super().closing()

    def configuration(self) -> Configuration:
        self._find()
        return super().configuration()

    def firing_count(self, trigger_name: str) -> int:
        raise MoreThanOneLook  # by its session's number more than once

    def _find(self) -> None:
        if not self._is_found:
            found = self._read(self._statements.find).fetchone()
            self._is_found = True
            if found is not None:
                self._id, self._manager_name, self._config_digest, self._closed = found

    def _read(self, statement: bytes, *values: Any) -> psycopg.Cursor[Any]:
        if self._has_looked:
            raise MoreThanOneLook
        self._has_looked = True
        return self._cursor.execute(statement, (self._uid, *values))


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
        self._ahead = Ahead(statements.by_uid, session_uid, NOTHING)
        self.has_written = False

    @property
    def session_id(self) -> int:
        """The session's number in the store."""
        return self._id

    def commit(self) -> psycopg.Cursor[Any]:
        """Send what is left, and end the transaction; return the server's answer."""
        with pipeline(self._connection):
            self._connection.send()
            return self._connection.execute("COMMIT")

    def open_or_make(self, manager_name: str, foreseen: Foreseen = NOTHING) -> None:
        """Begin the transaction; find the session, or make it, and lock it: the next who opens it
        waits here. In the same round trip, read what is foreseen to be asked."""
        ahead = Ahead(self._statements.by_uid, self._uid, foreseen)
        with pipeline(self._connection):
            # Whatever the server's default: each statement sees all that was committed by those who
            # held the session's lock before.
            self._connection.begin("ISOLATION LEVEL READ COMMITTED")
            self._ask_for_session(manager_name, ahead)
        while (found := self._cursor.fetchone()) is None:
            with pipeline(self._connection):
                self._ask_for_session(manager_name, ahead)
        *of_the_session, self.transaction_id = found
        self._id, self._manager_name, self._config_digest, self._closed = of_the_session
        ahead.take()
        self._ahead = ahead

    def _ask_for_session(self, manager_name: str, ahead: Ahead) -> None:
        values = {"uid": self._uid, "manager_name": manager_name}
        self._cursor.execute(self._statements.open_or_make, values)
        ahead.ask(self._connection)

    @property
    def config_digest(self) -> str | None:
        """The digest of the session's configuration."""
        return self._config_digest

    def instance(self, task_name: str, number: int) -> TaskInstance | None:
        key = task_name, number
        if key not in self._ahead.instances:
            return super().instance(task_name, number)
        row = self._ahead.instances[key]
        return None if row is None else self._instance(row)

    def waiting_for(self, trigger_name: str) -> list[TaskInstance]:
        if trigger_name not in self._ahead.waiting:
            return super().waiting_for(trigger_name)
        return [self._instance(row) for _, row in sorted(self._ahead.waiting[trigger_name].items())]

    def outcome(self, event_id: str) -> dict[str, Any] | None:
        if event_id not in self._ahead.outcomes:
            return super().outcome(event_id)
        return self._decoded_outcome(self._ahead.outcomes[event_id], event_id)

    def _last_number(self, task_name: str) -> Any:
        if task_name not in self._ahead.last_numbers:
            return super()._last_number(task_name)
        return self._ahead.last_numbers[task_name]

    def _latest(self, trigger_names: Iterable[str]) -> Iterable[tuple[str, Any]]:
        names = list(trigger_names)
        latest = self._ahead.latest
        if not latest.keys() >= set(names):
            return super()._latest(names)
        return [(name, latest[name]) for name in names if latest[name] is not None]

    def configure(self, configuration: Configuration) -> None:
        digest = configuration.digest
        self._write(self._statements.keep_configuration, digest, configuration.to_json())
        self._write(self._statements.configure, digest, self._id)
        self._config_digest = digest

    def close_session(self, closing: Closing) -> None:
        self._closed = encode_closing(closing)
        self._write(self._statements.close, self._closed, self._id)

    def save(self, instance: TaskInstance) -> None:
        key = (self._id, instance.task_name, instance.number)
        gone, new = self._change_of_waits(instance)
        row = tuple(encode_instance(instance))
        self._write(self._statements.save, self._id, *row)
        self._ahead.saved(row, instance.waits_for)
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
        if trigger_name in self._ahead.latest:
            self._ahead.latest[trigger_name] = kwargs
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
        text = to_json(outcome)
        if event_id in self._ahead.outcomes:
            self._ahead.outcomes[event_id] = text
        self._write(self._statements.record, self._id, event_id, text)

    def delete(self) -> None:
        self._ahead.clear()
        for statement in self._statements.delete:
            self._write(statement, self._id)

    def _write(self, query: bytes, *values: Any) -> None:
        self._write_named(query, values)

    def _write_named(self, query: bytes, values: tuple[Any, ...] | Mapping[str, Any]) -> None:
        self.has_written = True
        self._connection.send_later(query, values)
