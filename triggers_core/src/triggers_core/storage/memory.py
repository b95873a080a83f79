"""Sessions in this process's memory: for tests, and for work that may be lost with the process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from triggers_core.config import Configuration
from triggers_core.errors import StorageError
from triggers_core.instance import ACTIVE, Status, TaskInstance
from triggers_core.kwargs import to_json
from triggers_core.storage.base import (
    DEFAULT_ALIAS,
    LostInstance,
    SessionReader,
    Storage,
    UnitOfWork,
    decode_instance,
    encode_instance,
)

Key = tuple[str, int]
"""(task name, number)"""


@dataclass
class _Session:
    """Rows as text, so that what is read shares nothing with what is kept."""

    manager_name: str
    configuration: Configuration = field(default_factory=Configuration)
    rows: dict[Key, tuple[Any, ...]] = field(default_factory=dict)
    next_numbers: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, dict[Key, None]] = field(default_factory=dict)
    active: set[Key] = field(default_factory=set)
    latest: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)


class MemoryStorage(Storage):
    """Keeps sessions as long as the object lives. Transactions of all sessions are serial."""

    name = "memory"

    def __init__(self, *, alias: str = DEFAULT_ALIAS) -> None:
        super().__init__(alias=alias)
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._bodies: dict[str, str] = {}

    @classmethod
    def from_url(cls, url: str, *, alias: str = DEFAULT_ALIAS) -> MemoryStorage:
        """Return a new, empty storage. Raises StorageError unless ``url`` is ``memory:``."""
        if url != "memory:":
            raise StorageError(f"{url!r}: a memory storage's URL is 'memory:' and no more")
        return cls(alias=alias)

    @contextmanager
    def transaction(self, session_uid: str, manager_name: str) -> Iterator[_MemoryWork]:
        with self._lock:
            is_new = session_uid not in self._sessions
            session = self._sessions.setdefault(session_uid, _Session(manager_name))
            work = _MemoryWork(session_uid, session, self._bodies)
            try:
                yield work
                if work.is_deleted:
                    del self._sessions[session_uid]
            except BaseException:
                work.undo()
                if is_new:
                    del self._sessions[session_uid]
                raise

    @contextmanager
    def read(self, session_uid: str) -> Iterator[_MemoryReader]:
        with self._lock:
            session = self._sessions.get(session_uid) or _Session(manager_name="")
            yield _MemoryReader(session_uid, session)

    def take_lost(self, *, limit: int, hold_until: float) -> list[LostInstance]:
        with self._lock:
            lost = sorted(self._lost(self.now()), key=lambda item: item.instance.recover_at or 0.0)
            return [self._held(item, hold_until) for item in lost[:limit]]

    def sessions(self) -> Iterator[tuple[str, str]]:
        with self._lock:
            found = [(uid, session.manager_name) for uid, session in self._sessions.items()]
        return iter(found)

    def _lost(self, now: float) -> Iterator[LostInstance]:
        for uid, session in self._sessions.items():
            for key in session.active:
                instance = decode_instance(uid, session.rows[key])
                if instance.recover_at is not None and instance.recover_at <= now:
                    yield LostInstance(session.manager_name, instance)

    def _held(self, lost: LostInstance, hold_until: float) -> LostInstance:
        held = replace(lost.instance, recover_at=hold_until)
        rows = self._sessions[held.session_uid].rows
        rows[(held.task_name, held.number)] = encode_instance(held)
        return replace(lost, instance=held)

    def _configuration_body(self, digest: str) -> str | None:
        return self._bodies.get(digest)

    def close(self) -> None:
        """Do nothing: there is nothing to release but the sessions themselves."""


class _MemoryReader(SessionReader):
    def __init__(self, session_uid: str, session: _Session) -> None:
        self._uid = session_uid
        self._session = session

    def manager_name(self) -> str | None:
        return self._session.manager_name or None

    def configuration(self) -> Configuration:
        return self._session.configuration

    def instance(self, task_name: str, number: int) -> TaskInstance | None:
        row = self._session.rows.get((task_name, number))
        return None if row is None else decode_instance(self._uid, row)

    def instances(
        self, *, task_name: str | None = None, statuses: Collection[Status] | None = None
    ) -> list[TaskInstance]:
        found = self._decoded(self._session.rows)
        return [
            instance
            for instance in found
            if (task_name is None or instance.task_name == task_name)
            and (statuses is None or instance.status in statuses)
        ]

    def waiting_for(self, trigger_name: str) -> list[TaskInstance]:
        return self._decoded(self._session.waiting.get(trigger_name, ()))

    def next_number(self, task_name: str) -> int:
        return self._session.next_numbers.get(task_name, 0)

    def latest_kwargs(self, trigger_names: Iterable[str]) -> dict[str, dict[str, Any]]:
        latest = self._session.latest
        return {name: json.loads(latest[name]) for name in trigger_names if name in latest}

    def outcome(self, event_id: str) -> dict[str, Any] | None:
        text = self._session.outcomes.get(event_id)
        found: dict[str, Any] | None = None if text is None else json.loads(text)
        return found

    def is_active(self) -> bool:
        return bool(self._session.active)

    def _decoded(self, keys: Iterable[Key]) -> list[TaskInstance]:
        return [decode_instance(self._uid, self._session.rows[key]) for key in sorted(keys)]


class _MemoryWork(_MemoryReader, UnitOfWork):
    """Writes in place, and keeps the way back."""

    def __init__(self, session_uid: str, session: _Session, bodies: dict[str, str]) -> None:
        super().__init__(session_uid, session)
        self._bodies = bodies
        self.is_deleted = False
        self._undo: list[Callable[[], object]] = []

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()

    def configure(self, configuration: Configuration) -> None:
        session, before = self._session, self._session.configuration
        self._undo.append(lambda: setattr(session, "configuration", before))
        session.configuration = configuration
        self._set(self._bodies, configuration.digest, configuration.to_json())

    def save(self, instance: TaskInstance) -> None:
        key = (instance.task_name, instance.number)
        before = self.instance(*key)
        number = max(instance.number + 1, self.next_number(instance.task_name))
        self._set(self._session.rows, key, encode_instance(instance))
        self._set(self._session.next_numbers, instance.task_name, number)
        self._index(key, before, instance)
        self._undo.append(lambda: self._index(key, instance, before))

    def remember_trigger(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], *, at: float
    ) -> None:
        self._set(self._session.latest, trigger_name, to_json(trigger_kwargs))

    def record_outcome(self, event_id: str, outcome: Mapping[str, Any]) -> None:
        self._set(self._session.outcomes, event_id, to_json(outcome))

    def delete(self) -> None:
        self.is_deleted = True

    def _set(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def _index(self, key: Key, before: TaskInstance | None, after: TaskInstance | None) -> None:
        """Bring the look-ups from what the instance was to what it is."""
        waited = before.waits_for if before else frozenset()
        waits = after.waits_for if after else frozenset()
        for trigger_name in waited - waits:
            self._session.waiting[trigger_name].pop(key)
        for trigger_name in waits - waited:
            self._session.waiting.setdefault(trigger_name, {})[key] = None
        if after is not None and after.status in ACTIVE:
            self._session.active.add(key)
        else:
            self._session.active.discard(key)
