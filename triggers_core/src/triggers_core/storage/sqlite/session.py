"""One session in the file, as a transaction reads and writes it: the statements are here."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.kwargs import to_json
from triggers_core.storage.base import SessionReader, Storage, UnitOfWork
from triggers_core.storage.row import (
    COLUMNS,
    decode_instance,
    decode_moment,
    decode_number,
    decode_object,
    encode_instance,
)

COLUMN_NAMES = ", ".join(COLUMNS)
_SELECT_INSTANCE = f"SELECT id, {COLUMN_NAMES} FROM instances WHERE session_id = ?"
_SELECT_WAITING = (
    f"SELECT id, {COLUMN_NAMES} FROM waiting JOIN instances ON instances.id = waiting.instance_id "
    "WHERE waiting.session_id = ? AND waiting.trigger_name = ? ORDER BY task_name, number"
)
_INSERT_INSTANCE = (
    f"INSERT INTO instances (session_id, {COLUMN_NAMES}) "
    f"VALUES (?, {', '.join('?' for _ in COLUMNS)})"
)
_UPDATE_INSTANCE = (
    f"UPDATE instances SET {', '.join(f'{column} = ?' for column in COLUMNS[2:])} WHERE id = ?"
)
_NO_SESSION = -1


class SqliteReader(SessionReader):
    def __init__(self, storage: Storage, connection: sqlite3.Connection, session_uid: str) -> None:
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


class SqliteWork(SqliteReader, UnitOfWork):
    def __init__(self, storage: Storage, connection: sqlite3.Connection, session_uid: str) -> None:
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
