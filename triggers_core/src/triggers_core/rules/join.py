"""The join rules (C3, C4, F1 to F4), pure: what a trigger does to instances, and what another
configuration of their task does.

Nothing here reads or writes; whoever applies these rules brings the instances and keeps the
results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers_core.rules.config import TaskConfig
from triggers_core.rules.instance import Status, TaskInstance, noted


def take(
    instance: TaskInstance,
    config: TaskConfig,
    trigger_name: str,
    trigger_kwargs: Mapping[str, Any],
    *,
    at: float,
) -> TaskInstance:
    """Return ``instance`` after it took a trigger that it waits for (F1, F4)."""
    taken = instance.changed(
        trigger_kwargs={**instance.trigger_kwargs, trigger_name: trigger_kwargs},
        waits_for=instance.waits_for - {trigger_name},
    )
    return _decided(taken, config, at)


def makes_instance(config: TaskConfig, trigger_name: str, *, exists: bool) -> bool:
    """Return whether the trigger, which no instance of the task took, makes one (F2).

    Args:
        exists: the task has an instance in this session, whatever its status.
    """
    return not exists or trigger_name == config.and_every


def make(
    session_uid: str,
    config: TaskConfig,
    config_digest: str,
    number: int,
    taken: Mapping[str, Mapping[str, Any]],
    *,
    at: float,
) -> TaskInstance:
    """Return a new instance that has taken ``taken``: the trigger fired now and, for the others
    of its triggers, the latest kwargs fired before (F3)."""
    return _decided(
        TaskInstance(
            session_uid=session_uid,
            task_name=config.name,
            number=number,
            config_digest=config_digest,
            status=Status.UNSTARTED,
            created_at=at,
            changed_at=at,
            trigger_kwargs=dict(taken),
            waits_for=config.triggers - taken.keys(),
        ),
        config,
        at,
    )


def clone(
    instance: TaskInstance,
    number: int,
    *,
    at: float,
    attempt: int,
    config_digest: str,
    not_before: float = 0.0,
    trigger_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
) -> TaskInstance:
    """Return the scheduled instance that stands in for ``instance`` when it is replayed.

    ``trigger_kwargs`` replace what it took of the same triggers.
    """
    return TaskInstance(
        session_uid=instance.session_uid,
        task_name=instance.task_name,
        number=number,
        config_digest=config_digest,
        status=Status.SCHEDULED,
        created_at=at,
        changed_at=at,
        attempt=attempt,
        parent=instance.name,
        not_before=not_before,
        trigger_kwargs={**instance.trigger_kwargs, **(trigger_kwargs or {})},
        metadata=noted({}, Status.SCHEDULED, at),
    )


def take_over(
    instance: TaskInstance,
    config: TaskConfig,
    config_digest: str,
    latest: Mapping[str, Mapping[str, Any]],
    *,
    at: float,
) -> TaskInstance:
    """Return an unstarted instance as it lives by another configuration of its task.

    It keeps whatever it took, also of triggers that the task no longer names. Of those that are
    new to it, it takes the latest kwargs fired before, as a new instance would (F3). Then it is
    decided as if it had taken them all just now.

    Args:
        latest: of the task's triggers that it has not taken, those that have fired.
    """
    taken = {**instance.trigger_kwargs, **latest}
    return _decided(
        instance.changed(
            config_digest=config_digest,
            trigger_kwargs=taken,
            waits_for=config.triggers - taken.keys(),
        ),
        config,
        at,
    )


def _decided(instance: TaskInstance, config: TaskConfig, at: float) -> TaskInstance:
    """Abandon is checked before run (C4)."""
    if config.unless and instance.waits_for.isdisjoint(config.unless):
        return instance.to(Status.ABANDONED, at=at)
    if instance.waits_for.isdisjoint(config.awaited):
        return instance.to(Status.SCHEDULED, at=at)
    return instance
