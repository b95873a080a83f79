"""Sessions in this process's memory: for tests, and for work that may be lost with the process."""

from __future__ import annotations

import threading
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from triggers_core.errors import InvalidStorage
from triggers_core.forks import call_at_fork
from triggers_core.rules.closing import Closing
from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import ACTIVE, Status, TaskInstance
from triggers_core.rules.kwargs import from_json, to_json
from triggers_core.storage.base import (
    DEFAULT_ALIAS,
    LostInstance,
    SessionReader,
    Storage,
    UnitOfWork,
    session_is_open,
)
from triggers_core.storage.row import decode_instance, encode_instance

Key = tuple[str, int]
"""(task name, number)"""


class _Latest(NamedTuple):
    """A trigger's latest firing; its kwargs as text."""

    kwargs: str
    at: float
    is_logged: bool


class _Row(NamedTuple):
    """An instance as text, so that what is read shares nothing with what is kept."""

    values: tuple[Any, ...]
    waits_for: frozenset[str]
    is_active: bool


@dataclass
class _Session:
    """What is committed. ``waiting`` and ``active`` follow from ``rows``."""

    manager_name: str
    closing: Closing | None = None
    configuration: Configuration = field(default_factory=Configuration)
    rows: dict[Key, _Row] = field(default_factory=dict)
    next_numbers: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, set[Key]] = field(default_factory=dict)
    active: set[Key] = field(default_factory=set)
    latest: dict[str, _Latest] = field(default_factory=dict)
    firings: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    readers: int = 0

    def copy(self) -> _Session:
        return replace(
            self,
            rows=dict(self.rows),
            next_numbers=dict(self.next_numbers),
            waiting={name: set(keys) for name, keys in self.waiting.items()},
            active=set(self.active),
            latest=dict(self.latest),
            firings={name: list(logged) for name, logged in self.firings.items()},
            outcomes=dict(self.outcomes),
            readers=0,
        )

    def put(self, key: Key, row: _Row) -> None:
        before = self.rows.get(key)
        waited = before.waits_for if before else frozenset()
        for trigger_name in waited - row.waits_for:
            self.waiting[trigger_name].discard(key)
        for trigger_name in row.waits_for - waited:
            self.waiting.setdefault(trigger_name, set()).add(key)
        (self.active.add if row.is_active else self.active.discard)(key)
        self.rows[key] = row


class MemoryStorage(Storage):
    """Keeps sessions as long as the object lives. Transactions of all sessions are serial.

    A fork's child goes on with a copy of its own.
    """

    name = "memory"

    def __init__(self, *, alias: str = DEFAULT_ALIAS) -> None:
        super().__init__(alias=alias)
        self._sessions: dict[str, _Session] = {}
        self._bodies: dict[str, str] = {}
        self._renew_locks()
        call_at_fork(self)

    def _renew_locks(self) -> None:
        # Held for a whole transaction. Whoever has it is told so, and does not wait for itself.
        self._turn = threading.RLock()
        self._is_amid = False
        self._lock = threading.Lock()  # held while what is committed is changed or counted

    @classmethod
    def from_url(cls, url: str, *, alias: str = DEFAULT_ALIAS) -> MemoryStorage:
        """Return a new, empty storage. Raises StorageError unless ``url`` is ``memory:``."""
        if url != "memory:":
            raise InvalidStorage(f"{url!r}: a memory storage's URL is 'memory:' and no more")
        return cls(alias=alias)

    @contextmanager
    def transaction(self, session_uid: str, manager_name: str) -> Iterator[_MemoryWork]:
        with self._turn, self._transaction_of_its_own():
            session = self._sessions.get(session_uid) or _Session(manager_name)
            work = _MemoryWork(session_uid, session, self._bodies)
            try:
                yield work
            except BaseException:
                work.forget_configurations()
                raise
            with self._lock:
                self._sessions.setdefault(session_uid, session)
                if work.is_deleted:
                    del self._sessions[session_uid]
                else:
                    work.apply_to(self._writable(session_uid))

    @contextmanager
    def _transaction_of_its_own(self) -> Iterator[None]:
        if self._is_amid:
            raise session_is_open()
        self._is_amid = True
        try:
            yield
        finally:
            self._is_amid = False

    @contextmanager
    def read(self, session_uid: str) -> Iterator[_MemoryReader]:
        with self._lock:
            session = self._sessions.get(session_uid) or _Session(manager_name="")
            session.readers += 1
        try:
            yield _MemoryReader(session_uid, session)
        finally:
            with self._lock:
                session.readers -= 1

    def take_lost(self, *, limit: int, hold_until: float) -> list[LostInstance]:
        with self._turn, self._lock:
            lost = sorted(self._lost(self.now()), key=lambda item: item[1].recover_at or 0.0)
            return [self._held(*item, hold_until) for item in lost[:limit]]

    def sessions(self) -> Iterator[tuple[str, str]]:
        with self._lock:
            found = [(uid, session.manager_name) for uid, session in self._sessions.items()]
        return iter(found)

    def _writable(self, session_uid: str) -> _Session:
        """Return the session to write in: not the one that readers are looking at."""
        session = self._sessions[session_uid]
        if session.readers:
            session = self._sessions[session_uid] = session.copy()
        return session

    def _lost(self, now: float) -> Iterator[tuple[str, TaskInstance]]:
        for uid, session in self._sessions.items():
            for key in session.active:
                instance = decode_instance(uid, session.rows[key].values)
                if instance.recover_at is not None and instance.recover_at <= now:
                    yield session.manager_name, instance

    def _held(self, manager_name: str, lost: TaskInstance, hold_until: float) -> LostInstance:
        row = _row(replace(lost, recover_at=hold_until))
        self._writable(lost.session_uid).put((lost.task_name, lost.number), row)
        return LostInstance(manager_name, lost.session_uid, row.values)

    def _configuration_body(self, digest: str) -> str | None:
        return self._bodies.get(digest)

    def close(self) -> None:
        """Do nothing: there is nothing to release but the sessions themselves."""

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            # Whoever held a lock is not in this process, and what it was to write is not either.
            self._renew_locks()
        else:
            self._lock.release()


class _MemoryReader(SessionReader):
    def __init__(self, session_uid: str, session: _Session) -> None:
        self._uid = session_uid
        self._session = session
        self._closing = session.closing
        self._configuration = session.configuration
        self._rows: Mapping[Key, _Row] = session.rows
        self._next_numbers: Mapping[str, int] = session.next_numbers
        self._latest: Mapping[str, _Latest] = session.latest
        self._outcomes: Mapping[str, str] = session.outcomes

    def manager_name(self) -> str | None:
        return self._session.manager_name or None

    def closing(self) -> Closing | None:
        return self._closing

    def configuration(self) -> Configuration:
        return self._configuration

    def instance(self, task_name: str, number: int) -> TaskInstance | None:
        row = self._rows.get((task_name, number))
        return None if row is None else decode_instance(self._uid, row.values)

    def instances(
        self, *, task_name: str | None = None, statuses: Collection[Status] | None = None
    ) -> list[TaskInstance]:
        return [
            instance
            for instance in self._decoded(self._rows)
            if (task_name is None or instance.task_name == task_name)
            and (statuses is None or instance.status in statuses)
        ]

    def waiting_for(self, trigger_name: str) -> list[TaskInstance]:
        return self._decoded(self._session.waiting.get(trigger_name, ()))

    def next_number(self, task_name: str) -> int:
        return self._next_numbers.get(task_name, 0)

    def latest_kwargs(self, trigger_names: Iterable[str]) -> dict[str, dict[str, Any]]:
        latest = self._latest
        return {name: from_json(latest[name].kwargs) for name in trigger_names if name in latest}

    def firing_count(self, trigger_name: str) -> int:
        return self._logged_count(trigger_name) + self._is_latest_unlogged(trigger_name)

    def firings(self, trigger_name: str, count: int) -> list[dict[str, Any]]:
        return [from_json(text) for text in self._logged(trigger_name)[:count]]

    def fired_triggers(self) -> list[str]:
        return list(self._latest)

    def last_fired_at(self) -> float | None:
        return max((latest.at for latest in self._latest.values()), default=None)

    def outcome(self, event_id: str) -> dict[str, Any] | None:
        text = self._outcomes.get(event_id)
        found: dict[str, Any] | None = None if text is None else from_json(text)
        return found

    def is_active(self) -> bool:
        return bool(self._session.active)

    def _logged(self, trigger_name: str) -> list[str]:
        return self._session.firings.get(trigger_name, [])

    def _logged_count(self, trigger_name: str) -> int:
        return len(self._logged(trigger_name))

    def _is_latest_unlogged(self, trigger_name: str) -> bool:
        latest = self._latest.get(trigger_name)
        return latest is not None and not latest.is_logged

    def _decoded(self, keys: Iterable[Key]) -> list[TaskInstance]:
        return [decode_instance(self._uid, self._rows[key].values) for key in sorted(keys)]


class _MemoryWork(_MemoryReader, UnitOfWork):
    """Writes on top of what is committed, so that there is nothing to undo."""

    def __init__(self, session_uid: str, session: _Session, bodies: dict[str, str]) -> None:
        super().__init__(session_uid, session)
        self.is_deleted = False
        self._bodies = bodies
        self._new_digests: list[str] = []
        self._saved: dict[Key, _Row] = {}
        self._rows = ChainMap(self._saved, session.rows)
        self._next_numbers = self._new_numbers = ChainMap({}, session.next_numbers)
        self._latest = self._new_latest = ChainMap({}, session.latest)
        self._new_firings: dict[str, list[str]] = {}
        self._outcomes = self._new_outcomes = ChainMap({}, session.outcomes)

    def waiting_for(self, trigger_name: str) -> list[TaskInstance]:
        committed = self._session.waiting.get(trigger_name, set())
        saved = {key for key, row in self._saved.items() if trigger_name in row.waits_for}
        return self._decoded((committed - self._saved.keys()) | saved)

    def is_active(self) -> bool:
        return any(row.is_active for row in self._saved.values()) or any(
            key not in self._saved for key in self._session.active
        )

    def configure(self, configuration: Configuration) -> None:
        self._configuration = configuration
        digest = configuration.digest
        if digest not in self._bodies:
            self._bodies[digest] = configuration.to_json()
            self._new_digests.append(digest)

    def close_session(self, closing: Closing) -> None:
        self._closing = closing

    def save(self, instance: TaskInstance) -> None:
        task_name, number = instance.task_name, instance.number
        self._saved[(task_name, number)] = _row(instance)
        self._new_numbers[task_name] = max(number + 1, self.next_number(task_name))

    def remember_trigger(
        self,
        trigger_name: str,
        trigger_kwargs: Mapping[str, Any],
        *,
        at: float,
        is_logged: bool = False,
    ) -> None:
        self._new_latest[trigger_name] = _Latest(to_json(trigger_kwargs), at, is_logged)

    def log_firing(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], *, at: float
    ) -> None:
        self._new_firings.setdefault(trigger_name, []).append(to_json(trigger_kwargs))

    def log_latest(self, trigger_name: str) -> None:
        if self._is_latest_unlogged(trigger_name):
            latest = self._latest[trigger_name]
            self._new_firings.setdefault(trigger_name, []).append(latest.kwargs)
            self._new_latest[trigger_name] = latest._replace(is_logged=True)

    def _logged(self, trigger_name: str) -> list[str]:
        return super()._logged(trigger_name) + self._new_firings.get(trigger_name, [])

    def _logged_count(self, trigger_name: str) -> int:
        new = self._new_firings.get(trigger_name, ())
        return len(super()._logged(trigger_name)) + len(new)

    def record_outcome(self, event_id: str, outcome: Mapping[str, Any]) -> None:
        self._new_outcomes[event_id] = to_json(outcome)

    def delete(self) -> None:
        self.is_deleted = True

    def apply_to(self, session: _Session) -> None:
        session.closing = self._closing
        session.configuration = self._configuration
        for key, row in self._saved.items():
            session.put(key, row)
        session.next_numbers.update(self._new_numbers.maps[0])
        session.latest.update(self._new_latest.maps[0])
        for trigger_name, logged in self._new_firings.items():
            session.firings.setdefault(trigger_name, []).extend(logged)
        session.outcomes.update(self._new_outcomes.maps[0])

    def forget_configurations(self) -> None:
        for digest in self._new_digests:
            del self._bodies[digest]


def _row(instance: TaskInstance) -> _Row:
    return _Row(encode_instance(instance), instance.waits_for, instance.status in ACTIVE)
