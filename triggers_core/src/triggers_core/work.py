"""One change to a session: a transaction that applies the rules, then telling and dispatching.

:func:`change` is the only way in which the framework alters a session. Whatever it applies is one
transaction; observers and runners hear of it once it is committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from triggers_core import join
from triggers_core.dispatch import dispatch
from triggers_core.errors import (
    DispatchError,
    InstanceNotFound,
    StorageError,
    TransientStorageError,
)
from triggers_core.instance import Status, TaskInstance, split_instance_name
from triggers_core.names import shown
from triggers_core.storage.base import UnitOfWork, damaged

if TYPE_CHECKING:
    from triggers_core.manager import TriggerManager

Applied = TypeVar("Applied")

RETRY_PAUSES_SECONDS = (0.0, 0.1, 0.3)
"""Before each further try of a change that the store undid."""

DISPATCH_RETRY_SECONDS = 10.0
"""From a dispatch that failed to the earliest time at which recovery makes it again."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FireOutcome:
    """What one trigger did, as instance names in the order in which it was done.

    Attributes:
        trigger_name: the trigger.
        created: the instances that it made.
        taken: the instances that existed and took it.
        scheduled: those of both that became ready.
        abandoned: those of both that were abandoned.
    """

    trigger_name: str
    created: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    scheduled: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FireOutcome:
        """Return the outcome that :meth:`to_dict` wrote, or raise DamagedStore."""
        try:
            return cls(
                trigger_name=values["trigger_name"],
                **{key: tuple(values[key]) for key in _OUTCOME_LISTS},
            )
        except (KeyError, TypeError) as error:
            raise damaged(f"the outcome of an event, {shown(values)}", repr(error)) from error


_OUTCOME_LISTS = tuple(each.name for each in fields(FireOutcome) if each.name != "trigger_name")


class Work:
    """The change under way: reads and writes of one transaction, and what came of them."""

    def __init__(self, manager: TriggerManager, unit: UnitOfWork) -> None:
        self.unit = unit
        self.at = manager.storage.now()
        self.fired: list[tuple[str, Mapping[str, Any], FireOutcome]] = []
        self.changed: list[tuple[TaskInstance, Status | None]] = []
        self.replayed: list[tuple[TaskInstance, TaskInstance]] = []
        self.to_dispatch: list[TaskInstance] = []
        self._session_uid = manager.session_uid
        self._storage = manager.storage
        self._dispatch_timeout = manager.dispatch_timeout
        # So that a batch asks for each, and writes each, once.
        self._next_numbers: dict[str, int] = {}
        self._latest_kwargs: dict[str, Mapping[str, Any]] = {}

    def find(self, instance_name: str) -> TaskInstance:
        """Return the instance as it stands now. Raises InstanceNotFound."""
        found = self.unit.instance(*split_instance_name(instance_name))
        if found is None:
            raise InstanceNotFound(
                f"session {self._session_uid!r} has no instance {instance_name!r}"
            )
        return found

    def change_to(self, instance: TaskInstance, status: Status, **changes: Any) -> TaskInstance:
        """Keep the instance in another status; return it. Raises InvalidTransition."""
        return self._save(instance.to(status, at=self.at, **changes), instance.status)

    def keep(self, instance: TaskInstance) -> None:
        """Keep an instance whose status is as it was."""
        self.unit.save(instance)

    def dispatch_again(self, instance: TaskInstance) -> None:
        """Dispatch a scheduled instance whose message is lost."""
        self._save(instance, instance.status)

    def replay(self, instance: TaskInstance, **clone: Any) -> TaskInstance:
        """Mark the instance replayed and schedule its clone; return the clone.

        Args:
            clone: what the clone differs in; see :func:`triggers_core.join.clone`.

        Raises:
            InvalidTransition: the instance's status does not allow it.
        """
        replayed = self.change_to(instance, Status.REPLAYED)
        number = self._next_number(instance.task_name)
        stand_in = join.clone(replayed, number, at=self.at, **clone)
        stand_in = self._save(stand_in, None)
        self.replayed.append((replayed, stand_in))
        return stand_in

    def skip(
        self, instance: TaskInstance, *, cascade: bool, result: Mapping[str, Any]
    ) -> TaskInstance:
        """Mark the instance skipped; with ``cascade``, fire its task's trigger all the same.

        Raises:
            InvalidTransition: the instance's status does not allow it.
        """
        if cascade:
            instance = instance.with_metadata(result=result)
        skipped = self.change_to(instance, Status.SKIPPED)
        if cascade:
            self.fire(instance.task_name, result)
        return skipped

    def fire(self, trigger_name: str, trigger_kwargs: Mapping[str, Any]) -> FireOutcome:
        """Apply one trigger to the session (F1 to F4, F8); return what it did."""
        at = self.at
        taken = [
            self._save(
                join.take(
                    before, self._storage.task_config(before), trigger_name, trigger_kwargs, at=at
                ),
                before.status,
            )
            for before in self.unit.waiting_for(trigger_name)
        ]
        took = {instance.task_name for instance in taken}
        created = [
            self._save(instance, None)
            for instance in self._made_by(trigger_name, trigger_kwargs, took)
        ]
        self._latest_kwargs[trigger_name] = trigger_kwargs
        touched = [*taken, *created]
        outcome = FireOutcome(
            trigger_name,
            created=_names(created),
            taken=_names(taken),
            scheduled=_names(touched, Status.SCHEDULED),
            abandoned=_names(touched, Status.ABANDONED),
        )
        self.fired.append((trigger_name, trigger_kwargs, outcome))
        return outcome

    def remember_triggers(self) -> None:
        """Keep the latest kwargs of the triggers that were fired (F8). The change's last act."""
        for trigger_name, trigger_kwargs in self._latest_kwargs.items():
            self.unit.remember_trigger(trigger_name, trigger_kwargs, at=self.at)

    def _made_by(
        self, trigger_name: str, trigger_kwargs: Mapping[str, Any], tasks_that_took: set[str]
    ) -> Iterator[TaskInstance]:
        configuration = self.unit.configuration()
        for config in configuration.tasks_with(trigger_name):
            if config.name in tasks_that_took:
                continue
            number = self._next_number(config.name)
            if join.makes_instance(config, trigger_name, exists=number > 0):
                earlier = self._latest(config.triggers - {trigger_name})
                yield join.make(
                    self._session_uid,
                    config,
                    configuration.digest,
                    number,
                    {**earlier, trigger_name: trigger_kwargs},
                    at=self.at,
                )

    def _next_number(self, task_name: str) -> int:
        if task_name not in self._next_numbers:
            self._next_numbers[task_name] = self.unit.next_number(task_name)
        return self._next_numbers[task_name]

    def _latest(self, trigger_names: frozenset[str]) -> dict[str, Mapping[str, Any]]:
        fired_now = {
            name: kwargs for name, kwargs in self._latest_kwargs.items() if name in trigger_names
        }
        return {**self.unit.latest_kwargs(trigger_names - fired_now.keys()), **fired_now}

    def _save(self, instance: TaskInstance, old_status: Status | None) -> TaskInstance:
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


def change(manager: TriggerManager, apply: Callable[[Work], Applied]) -> Applied:
    """Change the manager's session in one transaction; once it is committed, tell and dispatch.

    Args:
        apply: makes the change, and nothing else: it is called once more, for a transaction of
            its own, where the store undid the one before. What it returns is returned.

    Raises:
        DispatchError: the change is committed, but a runner did not accept an instance.
        StorageError: nothing was changed.
    """
    work, applied, settled = _committed(manager, apply)
    if manager.plugins.is_observed:
        _tell(manager, work, settled)
    try:
        dispatch(manager, work.to_dispatch)
    except DispatchError as error:
        try:
            _recover_soon(manager, error.instance_names)
        except StorageError:
            _logger.exception("recovery will find these after the dispatch timeout only")
        raise
    return applied


def _committed(
    manager: TriggerManager, apply: Callable[[Work], Applied]
) -> tuple[Work, Applied, bool]:
    """Return the work, what ``apply`` returned, and whether the session has come to rest by it."""
    for pause in RETRY_PAUSES_SECONDS:
        try:
            return _tried(manager, apply)
        except TransientStorageError as error:
            _logger.warning("session %r: trying again: %s", manager.session_uid, error)
            time.sleep(pause)
    return _tried(manager, apply)


def _tried(manager: TriggerManager, apply: Callable[[Work], Applied]) -> tuple[Work, Applied, bool]:
    settled = False
    with manager.storage.transaction(manager.session_uid, manager.name) as unit:
        work = Work(manager, unit)
        applied = apply(work)
        work.remember_triggers()
        if manager.plugins.has_hook("triggers_settled"):
            settled = any(_ended(*item) for item in work.changed) and not unit.is_active()
    return work, applied, settled


def _recover_soon(manager: TriggerManager, instance_names: tuple[str, ...]) -> None:
    recover_at = manager.storage.now() + DISPATCH_RETRY_SECONDS
    with manager.storage.transaction(manager.session_uid, manager.name) as unit:
        for name in instance_names:
            instance = unit.instance(*split_instance_name(name))
            if instance is not None and instance.status is Status.SCHEDULED:
                unit.save(instance.changed(recover_at=recover_at))


def _tell(manager: TriggerManager, work: Work, settled: bool) -> None:
    observe = manager.plugins.observe
    for trigger_name, trigger_kwargs, outcome in work.fired:
        observe(
            "triggers_fired",
            manager=manager,
            trigger_name=trigger_name,
            trigger_kwargs=trigger_kwargs,
            outcome=outcome,
        )
    for instance, old_status in work.changed:
        observe(
            "triggers_status_changed",
            manager=manager,
            task_instance=instance,
            old_status=old_status,
        )
        if instance.status is Status.SKIPPED:
            observe("triggers_skipped", manager=manager, task_instance=instance)
    for instance, clone in work.replayed:
        observe("triggers_replayed", manager=manager, task_instance=instance, clone=clone)
    if settled:
        observe("triggers_settled", manager=manager)


def _ended(instance: TaskInstance, old_status: Status | None) -> bool:
    return old_status is Status.RUNNING and instance.status is not Status.RUNNING


def _names(instances: list[TaskInstance], status: Status | None = None) -> tuple[str, ...]:
    return tuple([each.name for each in instances if status is None or each.status is status])
