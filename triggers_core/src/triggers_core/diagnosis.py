"""Why a task has not run, as a person who is woken at night wants to read it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from triggers_core.config import Configuration
from triggers_core.errors import TaskNotFound
from triggers_core.instance import Status, TaskInstance


@dataclass(frozen=True)
class Finding:
    """A sentence, and the findings that it follows from."""

    text: str
    because: tuple[Finding, ...] = ()


def explain(
    task_name: str, configuration: Configuration, instances: Iterable[TaskInstance], *, now: float
) -> Finding:
    """Return how a task stands, down through the tasks whose cascades it waits for.

    Args:
        instances: all of the session's.
        now: seconds since the epoch, UTC, by the storage's clock.

    Raises:
        TaskNotFound: the configuration has no such task.
    """
    if task_name not in configuration:
        known = ", ".join(configuration) or "none"
        raise TaskNotFound(f"the session has no task {task_name!r}; its tasks are: {known}")
    by_task: dict[str, list[TaskInstance]] = {name: [] for name in configuration}
    for instance in instances:
        by_task.setdefault(instance.task_name, []).append(instance)
    return _task(task_name, configuration, by_task, now, frozenset())


def _task(
    task_name: str,
    configuration: Configuration,
    by_task: Mapping[str, list[TaskInstance]],
    now: float,
    explained: frozenset[str],
) -> Finding:
    instances = by_task[task_name]
    if task_name in explained:
        return Finding(f"{task_name}: see above")
    explained |= {task_name}
    waits = configuration[task_name].awaited
    if not instances:
        because = _waits(waits, configuration, by_task, now, explained)
        return Finding(f"{task_name} has no instance: none of its triggers has fired", because)
    return Finding(
        f"{task_name} has {len(instances)} instance{'s' if len(instances) > 1 else ''}",
        tuple(
            _instance(instance, configuration, by_task, now, explained) for instance in instances
        ),
    )


def _instance(
    instance: TaskInstance,
    configuration: Configuration,
    by_task: Mapping[str, list[TaskInstance]],
    now: float,
    explained: frozenset[str],
) -> Finding:
    since = _span(now - instance.changed_at)
    head = f"{instance.name} is {instance.status}, for {since}"
    if instance.attempt > 1:
        head += f", attempt {instance.attempt}"
    if instance.status is Status.UNSTARTED:
        awaited = configuration[instance.task_name].awaited & instance.waits_for
        return Finding(head, _waits(awaited, configuration, by_task, now, explained))
    return Finding(head, tuple(Finding(text) for text in _reasons(instance, now)))


def _reasons(instance: TaskInstance, now: float) -> Iterable[str]:
    error = instance.metadata.get("error")
    if error:
        yield f"{error['type']}: {error['message']}"
    if instance.status is Status.FAILED:
        yield f"mend it, then: triggers replay {instance.session_uid} '{instance.name}'"
    if instance.status is Status.SCHEDULED and instance.not_before > now:
        yield f"its cooldown ends in {_span(instance.not_before - now)}"
    if instance.recover_at is not None:
        until = instance.recover_at - now
        what = "message" if instance.status is Status.SCHEDULED else "worker"
        yield (
            f"its {what} counts as lost in {_span(until)}"
            if until > 0
            else f"its {what} counts as lost since {_span(-until)}: run triggers recover"
        )


def _waits(
    trigger_names: Iterable[str],
    configuration: Configuration,
    by_task: Mapping[str, list[TaskInstance]],
    now: float,
    explained: frozenset[str],
) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            f"waits for {name!r}, the end of a task",
            (_task(name, configuration, by_task, now, explained),),
        )
        if name in configuration
        else Finding(f"waits for {name!r}, which has not fired")
        for name in sorted(trigger_names)
    )


def _span(seconds: float) -> str:
    """Return a span of time to the precision that a person cares for."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 0):.0f} s"
