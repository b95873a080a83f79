"""One session in the file, as a transaction reads and writes it: the statements are here."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from triggers_core.rules.closing import Closing
from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.kwargs import to_json
from triggers_core.storage.base import Storage
from triggers_core.storage.row import COLUMNS, encode_closing, encode_instance
from triggers_core.storage.sql import NO_SESSION, SqlReader, SqlWork

COLUMN_NAMES = ", ".join(COLUMNS)
_SELECT_INSTANCE = f"SELECT id, {COLUMN_NAMES} FROM instances WHERE session_id = ?"
_INSERT_INSTANCE = (
    f"INSERT INTO instances (session_id, {COLUMN_NAMES}) "
    f"VALUES (?, {', '.join('?' for _ in COLUMNS)})"
)
_UPDATE_INSTANCE = (
    f"UPDATE instances SET {', '.join(f'{column} = ?' for column in COLUMNS[2:])} WHERE id = ?"
)


class _LookUps:
    """Those that every session makes. Each is an index look-up."""

    waiting = (
        f"SELECT id, {COLUMN_NAMES} FROM waiting "
        "JOIN instances ON instances.id = waiting.instance_id "
        "WHERE waiting.session_id = ? AND waiting.trigger_name = ? ORDER BY task_name, number"
    )
    last_number = (
        "SELECT number FROM instances WHERE session_id = ? AND task_name = ? "
        "ORDER BY number DESC LIMIT 1"
    )
    latest = "SELECT name, kwargs FROM triggers WHERE session_id = ? AND name = ?"
    firing_count = (
        "SELECT coalesce((SELECT position FROM firings WHERE session_id = ? AND name = ? "
        "ORDER BY position DESC LIMIT 1), 0) + (SELECT count(*) FROM triggers "
        "WHERE session_id = ? AND name = ? AND NOT is_logged)"
    )
    firings = (
        "SELECT kwargs FROM firings WHERE session_id = ? AND name = ? ORDER BY position LIMIT ?"
    )
    fired = "SELECT name FROM triggers WHERE session_id = ?"
    last_fired_at = "SELECT max(fired_at) FROM triggers WHERE session_id = ?"
    outcome = "SELECT outcome FROM events WHERE session_id = ? AND event_id = ?"
    active = (
        "SELECT 1 FROM instances WHERE session_id = ? "
        "AND status IN ('scheduled', 'running') LIMIT 1"
    )


_LOG_FIRING = (
    "INSERT INTO firings (session_id, name, position, kwargs, fired_at) "
    "VALUES (?1, ?2, coalesce((SELECT position FROM firings WHERE session_id = ?1 AND name = ?2 "
    "ORDER BY position DESC LIMIT 1), 0) + 1, ?3, ?4)"
)
_SELECT_UNLOGGED = (
    "SELECT kwargs, fired_at FROM triggers WHERE session_id = ? AND name = ? AND NOT is_logged"
)


class SqliteReader(SqlReader):
    """A session as it stands in the transaction that is open on the connection."""

    def __init__(self, storage: Storage, connection: sqlite3.Connection, session_uid: str) -> None:
        super().__init__(storage, _LookUps, session_uid)
        self._connection = connection
        self._row_ids: dict[str, int] = {}
        found = connection.execute(
            "SELECT id, config_digest, manager_name, closed FROM sessions WHERE uid = ?",
            (session_uid,),
        ).fetchone()
        if found is not None:
            self._id, self._config_digest, self._manager_name, self._closed = found

    def instance(self, task_name: str, number: int) -> TaskInstance | None:
        found = self._instances(
            f"{_SELECT_INSTANCE} AND task_name = ? AND number = ?", task_name, number
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
        return self._instances(f"{query} ORDER BY task_name, number", *values)

    def _latest(self, trigger_names: Iterable[str]) -> Iterator[tuple[str, Any]]:
        for trigger_name in trigger_names:
            yield from self._read(_LookUps.latest, trigger_name)

    def _read(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(statement, (self._id, *values))

    def _instance(self, row: tuple[Any, ...]) -> TaskInstance:
        found = super()._instance(row[1:])
        self._row_ids[found.name] = row[0]
        return found


class SqliteWork(SqliteReader, SqlWork):
    """The writing half; nobody else writes until the transaction ends."""

    def open_session(self, manager_name: str) -> None:
        if self._id == NO_SESSION:
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

    def close_session(self, closing: Closing) -> None:
        self._closed = encode_closing(closing)
        self._connection.execute(
            "UPDATE sessions SET closed = ? WHERE id = ?", (self._closed, self._id)
        )

    def save(self, instance: TaskInstance) -> None:
        row = encode_instance(instance)
        gone, new = self._change_of_waits(instance)
        row_id = self._row_ids.get(instance.name)
        if row_id is None:
            row_id = self._row_ids[instance.name] = self._insert(_INSERT_INSTANCE, (self._id, *row))
        else:
            self._connection.execute(_UPDATE_INSTANCE, (*row[2:], row_id))
        for trigger_name in gone:
            self._connection.execute(
                "DELETE FROM waiting WHERE session_id = ? AND trigger_name = ? AND instance_id = ?",
                (self._id, trigger_name, row_id),
            )
        for trigger_name in new:
            self._connection.execute(
                "INSERT INTO waiting (session_id, trigger_name, instance_id) VALUES (?, ?, ?)",
                (self._id, trigger_name, row_id),
            )

    def remember_trigger(
        self,
        trigger_name: str,
        trigger_kwargs: Mapping[str, Any],
        *,
        at: float,
        is_logged: bool = False,
    ) -> None:
        self._connection.execute(
            "INSERT INTO triggers (session_id, name, kwargs, fired_at, is_logged) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET kwargs = excluded.kwargs, "
            "fired_at = excluded.fired_at, is_logged = excluded.is_logged",
            (self._id, trigger_name, to_json(trigger_kwargs), at, is_logged),
        )

    def log_firing(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], *, at: float
    ) -> None:
        self._connection.execute(_LOG_FIRING, (self._id, trigger_name, to_json(trigger_kwargs), at))

    def log_latest(self, trigger_name: str) -> None:
        for kwargs, fired_at in self._read(_SELECT_UNLOGGED, trigger_name).fetchall():
            self._connection.execute(_LOG_FIRING, (self._id, trigger_name, kwargs, fired_at))
            self._connection.execute(
                "UPDATE triggers SET is_logged = 1 WHERE session_id = ? AND name = ?",
                (self._id, trigger_name),
            )

    def delete(self) -> None:
        for table in ("waiting", "instances", "triggers", "firings", "events"):
            self._connection.execute(f"DELETE FROM {table} WHERE session_id = ?", (self._id,))
        self._connection.execute("DELETE FROM sessions WHERE id = ?", (self._id,))

    def record_outcome(self, event_id: str, outcome: Mapping[str, Any]) -> None:
        self._connection.execute(
            "INSERT INTO events (session_id, event_id, outcome) VALUES (?, ?, ?)",
            (self._id, event_id, to_json(outcome)),
        )

    def _insert(self, query: str, values: tuple[Any, ...]) -> int:
        row_id = self._connection.execute(query, values).lastrowid
        assert row_id is not None  # sqlite3 sets it after every INSERT of one row
        return row_id
