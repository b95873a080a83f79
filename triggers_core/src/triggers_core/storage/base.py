"""The contract that every storage keeps, and how an instance is written in a row.

A storage keeps and finds; it knows no join rule and dispatches nothing. Whatever changes a
session goes through one :meth:`Storage.transaction`; ``triggers_conformance.storage`` has the
tests that every implementation must pass.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, NoReturn

from triggers_core.config import Configuration, TaskConfig
from triggers_core.errors import DamagedStore
from triggers_core.instance import Status, TaskInstance
from triggers_core.kwargs import from_json, to_json
from triggers_core.names import check_name, shown

DEFAULT_ALIAS = "default"
SCHEMA_VERSION = 1
"""Of the rows that :func:`encode_instance` writes; a store records it and refuses a newer one."""


class SessionReader(ABC):
    """One session as a transaction sees it: a consistent view, with its own writes included.

    A session that does not exist reads as an empty one.
    """

    @abstractmethod
    def manager_name(self) -> str | None:
        """Return the name of the manager that made the session; None where there is none."""

    @abstractmethod
    def configuration(self) -> Configuration:
        """Return the session's current configuration; an empty one before the first."""

    @abstractmethod
    def instance(self, task_name: str, number: int) -> TaskInstance | None:
        """Return one instance, or None."""

    @abstractmethod
    def instances(
        self, *, task_name: str | None = None, statuses: Collection[Status] | None = None
    ) -> list[TaskInstance]:
        """Return the instances, all or some, by task name (code points) and number.

        The only look-up whose cost grows with the session; no fire uses it.
        """

    @abstractmethod
    def waiting_for(self, trigger_name: str) -> list[TaskInstance]:
        """Return the unstarted instances that have not taken the trigger yet, by task name and
        number. Cost: the instances returned, whatever the session holds."""

    @abstractmethod
    def next_number(self, task_name: str) -> int:
        """Return the number of the task's next instance: 0 while it has none."""

    @abstractmethod
    def latest_kwargs(self, trigger_names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the latest kwargs of those of the triggers that have fired."""

    @abstractmethod
    def last_fired_at(self) -> float | None:
        """Return when a trigger was last fired; None before the first. No fire uses it."""

    @abstractmethod
    def outcome(self, event_id: str) -> dict[str, Any] | None:
        """Return what was recorded for the event, or None."""

    @abstractmethod
    def is_active(self) -> bool:
        """Return whether any instance is scheduled or running."""


class UnitOfWork(SessionReader):
    """The writing half. Nothing is visible to others before the transaction ends, and nothing
    at all is kept if it ends by an exception."""

    @abstractmethod
    def configure(self, configuration: Configuration) -> None:
        """Make it the session's current configuration."""

    @abstractmethod
    def save(self, instance: TaskInstance) -> None:
        """Insert the instance, or replace the row of the same task and number."""

    @abstractmethod
    def remember_trigger(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], *, at: float
    ) -> None:
        """Keep the kwargs as the trigger's latest (F8)."""

    @abstractmethod
    def delete(self) -> None:
        """Forget the session whole. The transaction's last act: nothing may follow it."""

    @abstractmethod
    def record_outcome(self, event_id: str, outcome: Mapping[str, Any]) -> None:
        """Keep what the event did (F6)."""


@dataclass(frozen=True)
class LostInstance:
    """An instance for recovery, and whose session it is in.

    It is kept as its row, so that one which is damaged keeps no other back.

    Attributes:
        row: the values of :data:`COLUMNS`.
    """

    manager_name: str
    session_uid: str
    row: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The instance's name."""
        return f"{self.row[0]}#{self.row[1]}"

    @property
    def instance(self) -> TaskInstance:
        """The instance as it stands. Raises DamagedStore."""
        return decode_instance(self.session_uid, self.row)


class Storage(ABC):
    """Keeps sessions. One object serves all threads of a process, and survives a fork, unless
    the thread that forks is in a transaction.

    Attributes:
        name: the URL scheme, equal to the entry point's name in ``triggers.storages``.
        alias: what messages to workers call this storage; no address, no credentials.
    """

    name: ClassVar[str]

    def __init__(self, *, alias: str = DEFAULT_ALIAS) -> None:
        self.alias = check_name(alias, "storage alias")
        self._configurations: dict[str, Configuration] = {}

    @classmethod
    @abstractmethod
    def from_url(cls, url: str, *, alias: str = DEFAULT_ALIAS) -> Storage:
        """Return the storage at ``scheme:…``. Opens nothing yet."""

    @abstractmethod
    def transaction(
        self, session_uid: str, manager_name: str
    ) -> AbstractContextManager[UnitOfWork]:
        """Open the session, made by this manager if it is new, for one atomic change.

        Transactions on one session are serial, from all threads, processes and machines. An
        exception in the body undoes everything. Do not nest: one thread holds at most one.

        Raises:
            StorageError: the store cannot be used; nothing was changed.
            TransientStorageError: it undid this transaction, and may make another.
        """

    @abstractmethod
    def read(self, session_uid: str) -> AbstractContextManager[SessionReader]:
        """Look at one session, as it is now; waits for no writer, and no writer waits for it."""

    @abstractmethod
    def take_lost(self, *, limit: int, hold_until: float) -> list[LostInstance]:
        """Take instances whose ``recover_at`` is past, the longest lost first.

        In one atomic step their ``recover_at`` becomes ``hold_until``, so that of all who ask,
        at once or after, nobody else is given them before that time. An index finds them: the
        cost does not grow with what the store holds.
        """

    @abstractmethod
    def sessions(self) -> Iterator[tuple[str, str]]:
        """Yield (session uid, manager name) of each session, oldest first. Whoever iterates may
        use the storage meanwhile."""

    def configuration(self, digest: str) -> Configuration:
        """Return a configuration that some session has or had; parsed once, as it never changes.

        May be called inside a transaction of the same thread, and sees what that one wrote.

        Raises:
            DamagedStore: this store has no such configuration, or not whole.
        """
        if digest not in self._configurations:
            body = self._configuration_body(digest)
            try:
                self._configurations[digest] = Configuration.from_json(_kept(body))
            except _UNREADABLE as error:
                raise damaged(f"configuration {digest!r}", error) from error
        return self._configurations[digest]

    def task_config(self, instance: TaskInstance) -> TaskConfig:
        """Return the task of the configuration that an instance lives by. Raises as
        :meth:`configuration` does."""
        configuration = self.configuration(instance.config_digest)
        if instance.task_name not in configuration:
            raise damaged(
                f"session {instance.session_uid!r}, instance {instance.name}",
                f"its configuration {instance.config_digest!r} has no such task",
            )
        return configuration[instance.task_name]

    @abstractmethod
    def _configuration_body(self, digest: str) -> str | None:
        """Return the JSON text that was kept under the digest, or None."""

    @abstractmethod
    def close(self) -> None:
        """Release connections and files. The storage opens them again when it is used again."""

    def now(self) -> float:
        """Return the time by this storage's clock, in seconds since the epoch, UTC."""
        return time.time()


COLUMNS = (
    "task_name",
    "number",
    "status",
    "attempt",
    "parent",
    "config_digest",
    "trigger_kwargs",
    "waits_for",
    "not_before",
    "created_at",
    "changed_at",
    "recover_at",
    "reruns_left",
    "metadata",
)
"""An instance's columns, in the order of :func:`encode_instance`."""


def encode_instance(instance: TaskInstance) -> tuple[Any, ...]:
    """Return the instance as values of :data:`COLUMNS`: str, int, float or None."""
    return (
        instance.task_name,
        instance.number,
        instance.status.value,
        instance.attempt,
        instance.parent,
        instance.config_digest,
        to_json(instance.trigger_kwargs),
        to_json(sorted(instance.waits_for)),
        instance.not_before,
        instance.created_at,
        instance.changed_at,
        instance.recover_at,
        instance.reruns_left,
        to_json(instance.metadata),
    )


def decode_instance(session_uid: str, row: tuple[Any, ...]) -> TaskInstance:
    """Return the instance in a row of :data:`COLUMNS`; it shares nothing with other reads.

    Raises:
        DamagedStore: :func:`encode_instance` cannot have written such a row.
    """
    try:
        return _decoded_instance(session_uid, row)
    except _UNREADABLE as error:
        raise damaged(f"session {session_uid!r}, instance {row[0]}#{row[1]}", error) from error


def decode_object(text: Any, what: str) -> dict[str, Any]:
    """Return the JSON object that was kept for ``what`` ("trigger 'paid'"), or raise
    DamagedStore."""
    try:
        return _object(text)
    except _UNREADABLE as error:
        raise damaged(what, error) from error


def decode_number(number: Any, what: str) -> int:
    """Return the number of an instance of ``what`` as it was kept, or raise DamagedStore."""
    if type(number) is not int or number < 0:
        raise damaged(what, f"it has an instance number {shown(number)}")
    return number


def decode_moment(moment: Any, what: str) -> float | None:
    """Return a time that was kept for ``what``, or None; or raise DamagedStore."""
    try:
        return None if moment is None else _moment(moment)
    except _UNREADABLE as error:
        raise damaged(what, error) from error


def decode_session(session_uid: Any, manager_name: Any) -> tuple[str, str]:
    """Return both as they were kept, or raise DamagedStore."""
    if not isinstance(session_uid, str) or not isinstance(manager_name, str):
        raise damaged(f"session {shown(session_uid)}", f"its manager is {shown(manager_name)}")
    return session_uid, manager_name


def damaged(what: str, reason: object) -> DamagedStore:
    """Return the error that says what of the store cannot be read."""
    return DamagedStore(
        f"{what}: what the store keeps of it is damaged ({reason}); nothing was changed. "
        "Restore the store from a backup, or mend or delete that by hand"
    )


_UNREADABLE = (ValueError, TypeError, RecursionError)
_LATEST_TIME = 2.0**33
"""Seconds since the epoch: the year 2242. No time that was meant is later, and the operating
system cannot wait for one that is much later."""


def _decoded_instance(session_uid: str, row: tuple[Any, ...]) -> TaskInstance:
    (
        task_name,
        number,
        status,
        attempt,
        parent,
        config_digest,
        trigger_kwargs,
        waits_for,
        not_before,
        created_at,
        changed_at,
        recover_at,
        reruns_left,
        metadata,
    ) = row
    for count in (number, attempt, reruns_left):
        if type(count) is not int or count < 0:
            _refuse(count, "a count")
    for moment in (not_before, created_at, changed_at, recover_at or 0.0):
        _moment(moment)
    return TaskInstance(
        session_uid=_text(session_uid),
        task_name=_text(task_name),
        number=number,
        config_digest=_text(config_digest),
        status=Status(status),
        created_at=created_at,
        changed_at=changed_at,
        attempt=attempt,
        parent=None if parent is None else _text(parent),
        trigger_kwargs=_objects(trigger_kwargs),
        waits_for=_texts(waits_for),
        not_before=not_before,
        recover_at=recover_at,
        reruns_left=reruns_left,
        metadata=_metadata(metadata),
    )


_NUMBERS = (int, float)


def _moment(value: Any) -> float:
    if type(value) not in _NUMBERS or not isfinite(value) or value > _LATEST_TIME:
        _refuse(value, "a time")
    moment: float = value
    return moment


def _kept(body: str | None) -> str:
    if body is None:
        raise ValueError("there is none")
    return _text(body)


def _refuse(value: object, expected: str) -> NoReturn:
    raise ValueError(f"expected {expected}, not {shown(value)}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _refuse(value, "text")


def _texts(text: Any) -> frozenset[str]:
    values = from_json(_text(text))
    if not isinstance(values, list):
        _refuse(values, "a list")
    return frozenset(map(_text, values))


def _object(text: Any) -> dict[str, Any]:
    value = from_json(_text(text))
    return value if isinstance(value, dict) else _refuse(value, "an object")


def _objects(text: Any) -> dict[str, dict[str, Any]]:
    objects = _object(text)
    for value in objects.values():
        if not isinstance(value, dict):
            _refuse(value, "an object")
    return objects


def _metadata(text: Any) -> dict[str, Any]:
    metadata = _object(text)
    error = metadata.get("error", {})
    if not isinstance(error, dict) or (error and not error.keys() >= {"type", "message"}):
        _refuse(error, "an error's type and message")
    return metadata
