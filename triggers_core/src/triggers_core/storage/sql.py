"""What storages in SQL tables share: how a session is read, and what a transaction knows of it.

The statements are each storage's own, and so are connections, locks and a transaction's end.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from triggers_core.rules.closing import Closing
from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import TaskInstance
from triggers_core.storage.base import SessionReader, Storage, UnitOfWork
from triggers_core.storage.row import (
    decode_closing,
    decode_instance,
    decode_moment,
    decode_number,
    decode_object,
    text_of,
)

NO_SESSION = -1
"""The number of a session that the store does not have: no row is one's of it."""


class LookUps(Protocol):
    """Statements as the driver takes them. The session's number is the first parameter of each.

    Attributes:
        waiting: the instances that wait for a trigger, by task name and number.
        last_number: the highest number of a task's instances.
        firing_count: how many firings of a trigger are logged, and 1 more for a latest one that is
            not; takes the session's number and the name once more after both.
        firings: the kwargs of the first that are logged, so many.
        fired: the names of the triggers that have fired.
        last_fired_at: when a trigger was last fired.
        outcome: what was recorded for an event.
        active: a row, if an instance is scheduled or running.
    """

    waiting: Any
    last_number: Any
    firing_count: Any
    firings: Any
    fired: Any
    last_fired_at: Any
    outcome: Any
    active: Any


class Rows(Protocol):
    """A cursor, as the DB-API has them."""

    def fetchone(self) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class SqlReader(SessionReader):
    """A session as it stands in the transaction that is open.

    A subclass finds the session's row, and sets the first four attributes of it.
    """

    def __init__(self, storage: Storage, look_ups: LookUps, session_uid: str) -> None:
        self._id = NO_SESSION
        self._manager_name: str | None = None
        self._config_digest: str | None = None
        self._closed: str | None = None
        self._storage = storage
        self._look_ups = look_ups
        self._uid = session_uid

    def manager_name(self) -> str | None:
        return self._manager_name

    def closing(self) -> Closing | None:
        if self._closed is None:
            return None
        return decode_closing(self._closed, f"session {self._uid!r}, how it was closed")

    def configuration(self) -> Configuration:
        if self._config_digest is None:
            return Configuration()
        return self._storage.configuration(self._config_digest)

    def waiting_for(self, trigger_name: str) -> list[TaskInstance]:
        return self._instances(self._look_ups.waiting, trigger_name)

    def next_number(self, task_name: str) -> int:
        last = self._last_number(task_name)
        return 0 if last is None else decode_number(last, f"task {task_name!r}") + 1

    def latest_kwargs(self, trigger_names: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {
            name: decode_object(kwargs, f"trigger {name!r}")
            for name, kwargs in self._latest(trigger_names)
        }

    def firing_count(self, trigger_name: str) -> int:
        count = self._first(self._look_ups.firing_count, trigger_name, self._id, trigger_name)
        return decode_number(count, f"trigger {trigger_name!r}")

    def firings(self, trigger_name: str, count: int) -> list[dict[str, Any]]:
        rows = self._read(self._look_ups.firings, trigger_name, count)
        return [decode_object(kwargs, f"trigger {trigger_name!r}") for (kwargs,) in rows]

    def fired_triggers(self) -> list[str]:
        return [text_of(name) for (name,) in self._read(self._look_ups.fired)]

    def last_fired_at(self) -> float | None:
        moment = self._first(self._look_ups.last_fired_at)
        return decode_moment(moment, f"session {self._uid!r}, its last trigger")

    def outcome(self, event_id: str) -> dict[str, Any] | None:
        return self._decoded_outcome(self._first(self._look_ups.outcome, event_id), event_id)

    def is_active(self) -> bool:
        return self._first(self._look_ups.active) is not None

    def _last_number(self, task_name: str) -> Any:
        """Return the highest number of a task's instances as it is kept, None while it has none."""
        return self._first(self._look_ups.last_number, task_name)

    @staticmethod
    def _decoded_outcome(text: Any, event_id: str) -> dict[str, Any] | None:
        return None if text is None else decode_object(text, f"event {event_id!r}")

    @abstractmethod
    def _latest(self, trigger_names: Iterable[str]) -> Iterable[tuple[str, Any]]:
        """Return (name, kwargs as they are kept) of those of the triggers that have fired."""

    @abstractmethod
    def _read(self, statement: Any, *values: Any) -> Rows:
        """Run a look-up with the session's number before the values."""

    def _first(self, statement: Any, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        row = self._read(statement, *values).fetchone()
        return None if row is None else row[0]

    def _instances(self, statement: Any, *values: Any) -> list[TaskInstance]:
        return [self._instance(row) for row in self._read(statement, *values)]

    def _instance(self, row: tuple[Any, ...]) -> TaskInstance:
        return decode_instance(self._uid, row)


class SqlWork(SqlReader, UnitOfWork):
    """The writing half, which knows of each instance that was read what it waits for in the store,
    and of each task whose next number was asked for which instances are new."""

    def __init__(self, storage: Storage, look_ups: LookUps, session_uid: str) -> None:
        super().__init__(storage, look_ups, session_uid)
        self._kept_waits: dict[str, frozenset[str]] = {}
        self._next_numbers: dict[str, int] = {}

    def next_number(self, task_name: str) -> int:
        number = self._next_numbers[task_name] = super().next_number(task_name)
        return number

    def _instance(self, row: tuple[Any, ...]) -> TaskInstance:
        found = super()._instance(row)
        self._kept_waits[found.name] = found.waits_for
        return found

    def _change_of_waits(self, instance: TaskInstance) -> tuple[list[str], list[str]]:
        """Return the triggers that the instance no longer waits for, and those that it does from
        now on, both sorted."""
        waited = self._waited(instance)
        self._kept_waits[instance.name] = instance.waits_for
        return sorted(waited - instance.waits_for), sorted(instance.waits_for - waited)

    def _waited(self, instance: TaskInstance) -> frozenset[str]:
        """Return what the instance waits for as it is kept; nothing where it is new."""
        if instance.name in self._kept_waits:
            return self._kept_waits[instance.name]
        if instance.number >= self._next_numbers.get(instance.task_name, instance.number + 1):
            return frozenset()
        kept = self.instance(instance.task_name, instance.number)
        return kept.waits_for if kept else frozenset()
