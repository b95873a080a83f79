"""The join rules (C3, C4, F1 to F4), pure: what a trigger does to instances, and what another
configuration of their task does.

An instance takes every trigger that its task names while it is unstarted; after each it is
abandoned if ``unless`` holds, else ready if ``after`` (and ``andEvery``) holds.

Nothing here reads or writes; whoever applies these rules brings the instances and keeps the
results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers_core.rules.conditions import Taken, all_hold, is_times
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
    """Return ``instance`` after it took a trigger that it waits for (F1, F4); one that is counted
    it takes again each time (C11)."""
    kwargs = {**instance.trigger_kwargs, trigger_name: trigger_kwargs}
    if trigger_name in config.counted:
        count = instance.counts.get(trigger_name, 0) + 1
        taken = instance.changed(
            trigger_kwargs=kwargs, counts={**instance.counts, trigger_name: count}
        )
    else:
        taken = instance.changed(
            trigger_kwargs=kwargs, waits_for=instance.waits_for - {trigger_name}
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
    taken: Taken,
    *,
    at: float,
) -> TaskInstance:
    """Return a new instance that has taken ``taken``: the trigger fired now and, for the others
    of its triggers, the latest kwargs fired before (F3); of those that are counted, all firings."""
    return _decided(
        TaskInstance(
            session_uid=session_uid,
            task_name=config.name,
            number=number,
            config_digest=config_digest,
            status=Status.UNSTARTED,
            created_at=at,
            changed_at=at,
            trigger_kwargs=taken.kwargs,
            waits_for=_waits_for(config, taken.kwargs),
            counts=taken.counts,
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
        counts=instance.counts,
        metadata=noted({}, Status.SCHEDULED, at),
    )


def take_over(
    instance: TaskInstance,
    config: TaskConfig,
    config_digest: str,
    earlier: Taken,
    *,
    at: float,
) -> TaskInstance:
    """Return an unstarted instance as it lives by another configuration of its task.

    It keeps whatever it took, also of triggers that the task no longer names. Of those that are
    new to it, it takes the latest kwargs fired before, as a new instance would (F3), and of those
    that are counted all firings. Then it is decided as if it had taken them all just now.

    Args:
        earlier: what :func:`missing_to` says that it is to take, of what has fired.
    """
    taken = {**instance.trigger_kwargs, **earlier.kwargs}
    return _decided(
        instance.changed(
            config_digest=config_digest,
            trigger_kwargs=taken,
            waits_for=_waits_for(config, taken),
            counts={**instance.counts, **earlier.counts},
        ),
        config,
        at,
    )


def missing_to(instance: TaskInstance, config: TaskConfig) -> frozenset[str]:
    """Return the triggers of which an instance that is taken over takes what fired before."""
    return (config.triggers - instance.trigger_kwargs.keys()) | config.counted


def usable(
    config: TaskConfig, earlier: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Return what an instance may take of earlier firings: one that was to bring a number, and was
    fired without one before a configuration asked for it, is waited for anew (C12)."""
    kept = dict(earlier)
    for number in config.numbers:
        if number.trigger in kept and not is_times(kept[number.trigger].get(number.key)):
            del kept[number.trigger]
    return kept


def _waits_for(config: TaskConfig, taken: Mapping[str, Any]) -> frozenset[str]:
    """Return what an unstarted instance still takes."""
    return (config.triggers - taken.keys()) | config.counted


def _decided(instance: TaskInstance, config: TaskConfig, at: float) -> TaskInstance:
    """Abandon is checked before run (C4)."""
    if not config.is_plain:
        return _decided_by_conditions(instance, config, at)
    if config.unless and instance.waits_for.isdisjoint(config.unless):
        return instance.to(Status.ABANDONED, at=at)
    if instance.waits_for.isdisjoint(config.awaited):
        return instance.to(Status.SCHEDULED, at=at)
    return instance


def _decided_by_conditions(instance: TaskInstance, config: TaskConfig, at: float) -> TaskInstance:
    taken = Taken(instance.trigger_kwargs, instance.counts)
    if config.unless and all_hold(config.unless, taken):
        return instance.to(Status.ABANDONED, at=at)
    has_every = config.and_every is None or config.and_every in taken.kwargs
    if has_every and all_hold(config.after, taken):
        return instance.to(Status.SCHEDULED, at=at)
    return instance
