"""The contract that every storage keeps.

A storage keeps and finds; it knows no join rule and dispatches nothing. Whatever changes a
session goes through one :meth:`Storage.transaction`; ``triggers_conformance.storage`` has the
tests that every implementation must pass.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from triggers_core.errors import StorageError
from triggers_core.rules.closing import Closing
from triggers_core.rules.config import Configuration, TaskConfig
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.names import check_name
from triggers_core.storage.row import UNREADABLE, damaged, decode_instance, text_of

Answer = TypeVar("Answer")

DEFAULT_ALIAS = "default"
SCHEMA_VERSION = 2
"""Of the tables and of the rows in them. A store records it; an older one is upgraded when it is
opened, a newer one refused."""


class SessionReader(ABC):
    """One session as a transaction sees it: a consistent view, with its own writes included.

    A session that does not exist reads as an empty one.
    """

    @abstractmethod
    def manager_name(self) -> str | None:
        """Return the name of the manager that made the session; None where there is none."""

    @abstractmethod
    def closing(self) -> Closing | None:
        """Return how the session was cancelled or closed; None where it goes on. It is read with
        what opens the session: asking for it costs nothing."""

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
    def firing_count(self, trigger_name: str) -> int:
        """Return how many firings of a counted trigger the session has seen: those that are logged,
        and the latest, should it not be. Cost: the same for any number."""

    @abstractmethod
    def firings(self, trigger_name: str, count: int) -> list[dict[str, Any]]:
        """Return the kwargs of the first firings that are logged, so many, in their order."""

    def fired_triggers(self) -> list[str]:
        """Return the names of all triggers that have fired, in any order; none where the storage
        does not offer to look them up. No fire uses it: it is for people who misspelt one."""
        return []

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
    def close_session(self, closing: Closing) -> None:
        """Keep that the session is over, and how."""

    @abstractmethod
    def save(self, instance: TaskInstance) -> None:
        """Insert the instance, or replace the row of the same task and number."""

    @abstractmethod
    def remember_trigger(
        self,
        trigger_name: str,
        trigger_kwargs: Mapping[str, Any],
        *,
        at: float,
        is_logged: bool = False,
    ) -> None:
        """Keep the kwargs as the trigger's latest (F8).

        Args:
            is_logged: :meth:`log_firing` keeps this firing too.
        """

    @abstractmethod
    def log_firing(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], *, at: float
    ) -> None:
        """Append a firing of a counted trigger to those that are logged (C11): a row of its own,
        at a cost that is the same however many there are."""

    @abstractmethod
    def log_latest(self, trigger_name: str) -> None:
        """Append the latest kwargs that are remembered of the trigger to its log, if it has fired
        and that firing is not logged."""

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
        row: the values of :data:`triggers_core.storage.row.COLUMNS`.
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


@dataclass(frozen=True)
class Foreseen:
    """What a change is going to ask of a session, as far as that is known beforehand. It may ask
    less, and more.

    Attributes:
        instances: task name and number of each that it looks at.
        triggers: whose waiting instances it looks for.
        tasks: whose next number it asks for.
        latest: triggers whose latest kwargs it asks for.
        events: whose outcome it asks for.
    """

    instances: tuple[tuple[str, int], ...] = ()
    triggers: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    latest: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeldLease:
    """A running instance whose worker is alive.

    Attributes:
        manager_name, session_uid: of its session.
        task_name, number: its own.
        seconds: for how long from now it is to be taken for alive.
    """

    manager_name: str
    session_uid: str
    task_name: str
    number: int
    seconds: float


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

    def foreseeing(
        self,
        session_uid: str,
        manager_name: str,
        foresee: Callable[[Configuration], Foreseen],
    ) -> AbstractContextManager[UnitOfWork]:
        """Open the session as :meth:`transaction` does, which this is where it is not overridden.

        A storage that is a network away reads what is foreseen in the round trip that opens the
        session. It calls ``foresee`` with the configuration that the session probably has; another
        one costs round trips, not correctness.
        """
        return self.transaction(session_uid, manager_name)

    @abstractmethod
    def read(self, session_uid: str) -> AbstractContextManager[SessionReader]:
        """Look at one session, as it is now; waits for no writer, and no writer waits for it."""

    def look(self, session_uid: str, question: Callable[[SessionReader], Answer]) -> Answer:
        """Return what the question returns of the session, which it sees as in :meth:`read`.

        The question only looks, as it may be asked again. A storage that is a network away answers
        one that needs a single look-up in one round trip.
        """
        with self.read(session_uid) as reader:
            return question(reader)

    @abstractmethod
    def take_lost(self, *, limit: int, hold_until: float) -> list[LostInstance]:
        """Take instances whose ``recover_at`` is past, the longest lost first.

        In one atomic step their ``recover_at`` becomes ``hold_until``, so that of all who ask,
        at once or after, nobody else is given them before that time. An index finds them: the
        cost does not grow with what the store holds.
        """

    def renew_leases(self, leases: Collection[HeldLease]) -> None:
        """Set the ``recover_at`` of each of the instances that is still running.

        One that cannot be renewed keeps no other back. A storage that many machines share does it
        in one statement, and waits for nobody who has a session open: it may not be taken for lost
        because somebody else is slow. Nothing else of the instance changes, so that this is
        correct beside a transaction on the session.

        Raises:
            StorageError: some could not be renewed; the first of the reasons.
        """
        errors = []
        for lease in leases:
            try:
                _renew(self, lease)
            except StorageError as error:
                errors.append(error)
        if errors:
            raise errors[0]

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
            except UNREADABLE as error:
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

    def exists(self) -> bool:
        """Return whether there is a store to look at; True where that cannot be told. It is for
        people, who may have misspelt where it is: a change makes one that is missing."""
        return True

    def now(self) -> float:
        """Return the time by this storage's clock, in seconds since the epoch, UTC."""
        return time.time()


def _renew(storage: Storage, lease: HeldLease) -> None:
    with storage.transaction(lease.session_uid, lease.manager_name) as unit:
        current = unit.instance(lease.task_name, lease.number)
        if current is not None and current.status is Status.RUNNING:
            unit.save(replace(current, recover_at=storage.now() + lease.seconds))


def _kept(body: str | None) -> str:
    if body is None:
        raise ValueError("there is none")
    return text_of(body)


def session_is_open() -> StorageError:
    """Return the error for a thread that opens a session while it has one open, as a signal's
    handler does: it would wait for itself."""
    return StorageError("this thread has a session open; leave it before the next is opened")
