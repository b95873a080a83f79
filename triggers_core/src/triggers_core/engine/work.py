"""The change under way: reads and writes of one transaction, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers_core.engine.outcome import FireOutcome
from triggers_core.engine.session import Session
from triggers_core.errors import InstanceNotFound, SessionClosed
from triggers_core.rules import join
from triggers_core.rules.closing import Closing
from triggers_core.rules.config import TaskConfig
from triggers_core.rules.instance import Status, TaskInstance, split_instance_name
from triggers_core.storage.base import UnitOfWork


class Work:
    """One transaction on a session.

    Attributes:
        unit: what it reads and writes.
        session_uid: the session.
        at: when it happens, by the storage's clock: one time for all of it.
        fired, changed, replayed, closed: what observers are told of, in order.
        to_dispatch: what runners are given once it is committed.
    """

    def __init__(self, session: Session, unit: UnitOfWork) -> None:
        self.unit = unit
        self.session_uid = session.session_uid
        self.at = session.storage.now()
        self.fired: list[tuple[str, Mapping[str, Any], FireOutcome]] = []
        self.changed: list[tuple[TaskInstance, Status | None]] = []
        self.replayed: list[tuple[TaskInstance, TaskInstance]] = []
        self.closed: Closing | None = None
        self.to_dispatch: list[TaskInstance] = []
        self._storage = session.storage
        self._dispatch_timeout = session.dispatch_timeout
        # So that a batch asks for each, and writes each, once.
        self._next_numbers: dict[str, int] = {}
        self._latest_kwargs: dict[str, Mapping[str, Any]] = {}
        self._logged: set[str] = set()

    @property
    def closing(self) -> Closing | None:
        """How the session was cancelled or closed, if it was. Costs nothing to ask."""
        return self.unit.closing()

    def check_open(self) -> None:
        """Raise SessionClosed if the session was cancelled or closed."""
        check_open(self.session_uid, self.closing)

    def close(self, closing: Closing) -> None:
        """Keep that the session is over."""
        self.unit.close_session(closing)
        self.closed = closing

    def find(self, instance_name: str) -> TaskInstance:
        """Return the instance as it stands now. Raises InstanceNotFound."""
        found = self.unit.instance(*split_instance_name(instance_name))
        if found is None:
            raise InstanceNotFound(
                f"session {self.session_uid!r} has no instance {instance_name!r}"
            )
        return found

    def task_config(self, instance: TaskInstance) -> TaskConfig:
        """Return the configuration that an instance lives by."""
        return self._storage.task_config(instance)

    def next_number(self, task_name: str) -> int:
        """Return the number of the task's next instance."""
        if task_name not in self._next_numbers:
            self._next_numbers[task_name] = self.unit.next_number(task_name)
        return self._next_numbers[task_name]

    def firing_count(self, trigger_name: str) -> int:
        """Return how many firings of a counted trigger the session has seen, those of now
        included."""
        return self.unit.firing_count(trigger_name)

    def latest_kwargs(self, trigger_names: frozenset[str]) -> dict[str, Mapping[str, Any]]:
        """Return the latest kwargs of those of the triggers that have fired."""
        fired_now = {
            name: kwargs for name, kwargs in self._latest_kwargs.items() if name in trigger_names
        }
        return {**self.unit.latest_kwargs(trigger_names - fired_now.keys()), **fired_now}

    def record(
        self,
        trigger_name: str,
        trigger_kwargs: Mapping[str, Any],
        outcome: FireOutcome,
        *,
        is_logged: bool,
    ) -> None:
        """Note what a trigger did, and its kwargs as its latest (F8)."""
        self._latest_kwargs[trigger_name] = trigger_kwargs
        if is_logged:
            self._logged.add(trigger_name)
        else:
            self._logged.discard(trigger_name)
        self.fired.append((trigger_name, trigger_kwargs, outcome))

    def save(self, instance: TaskInstance, old_status: Status | None) -> TaskInstance:
        """Keep the instance; return it as it is kept. A scheduled one will be dispatched.

        Args:
            old_status: how it stood before; None for one just made.
        """
        if instance.status is Status.SCHEDULED:
            due = max(self.at, instance.not_before)
            instance = instance.changed(recover_at=due + self._dispatch_timeout)
            self.to_dispatch.append(instance)
        if old_status is None:
            self._next_numbers[instance.task_name] = instance.number + 1
        self.keep(instance)
        if instance.status is not old_status:
            self.changed.append((instance, old_status))
        return instance

    def keep(self, instance: TaskInstance) -> None:
        """Keep an instance whose status is as it was."""
        self.unit.save(instance)

    def change_to(self, instance: TaskInstance, status: Status, **changes: Any) -> TaskInstance:
        """Keep the instance in another status; return it. Raises InvalidTransition."""
        return self.save(instance.to(status, at=self.at, **changes), instance.status)

    def dispatch_again(self, instance: TaskInstance) -> None:
        """Dispatch a scheduled instance whose message is lost."""
        self.save(instance, instance.status)

    def replay(self, instance: TaskInstance, **clone: Any) -> TaskInstance:
        """Mark the instance replayed and schedule its clone; return the clone. In a session that is
        closed the clone is abandoned with it.

        Args:
            clone: what the clone differs in; see :func:`triggers_core.rules.join.clone`.

        Raises:
            InvalidTransition: the instance's status does not allow it.
        """
        replayed = self.change_to(instance, Status.REPLAYED)
        number = self.next_number(instance.task_name)
        stand_in = join.clone(replayed, number, at=self.at, **clone)
        if self.closing is not None:
            parting = stand_in.with_remark(self.closing.parting)
            stand_in = parting.to(Status.ABANDONED, at=self.at)
        stand_in = self.save(stand_in, None)
        self.replayed.append((replayed, stand_in))
        return stand_in

    def remember_triggers(self) -> None:
        """Keep the latest kwargs of the triggers that were fired (F8). The change's last act."""
        for name, kwargs in self._latest_kwargs.items():
            self.unit.remember_trigger(name, kwargs, at=self.at, is_logged=name in self._logged)


def check_open(session_uid: str, closing: Closing | None) -> None:
    """Raise SessionClosed if the session was closed so."""
    if closing is not None:
        raise SessionClosed(
            f"session {session_uid!r} was {closing}. It takes nothing any more, and nothing was "
            "changed; what is to go on needs a session of its own"
        )
