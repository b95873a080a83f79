"""What a trigger does to a session, within a transaction: instances take it, or are made by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from triggers_core.engine.outcome import FireOutcome
from triggers_core.engine.work import Work
from triggers_core.errors import EventConflict
from triggers_core.rules import join
from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.kwargs import digest_of

_DIGEST = "kwargs_digest"
"""Of what was fired, beside the outcome that is recorded for an event."""

CheckedFiring = tuple[str, Mapping[str, Any], str | None]
"""Trigger name, kwargs and ``event_id``, as they were found to be right."""


def fire_each(
    work: Work, firings: Iterable[CheckedFiring]
) -> tuple[list[FireOutcome], Configuration]:
    """Fire one after the other; return what each did, and the configuration that it was under."""
    return [_fire_once(work, *firing) for firing in firings], work.unit.configuration()


def fire(work: Work, trigger_name: str, trigger_kwargs: Mapping[str, Any]) -> FireOutcome:
    """Apply one trigger to the session (F1 to F4, F8); return what it did.

    What becomes ready is dispatched in the order in which it is done here (F10): instances that
    existed, by task name and number, and then those that are made, as configured.

    In a session that is closed nothing takes it: what ran to its end is recorded, no more.
    """
    taken, created = (
        _applied(work, trigger_name, trigger_kwargs) if work.closing is None else ([], [])
    )
    touched = [*taken, *created]
    outcome = FireOutcome(
        trigger_name,
        created=_names(created),
        taken=_names(taken),
        scheduled=_names(touched, Status.SCHEDULED),
        abandoned=_names(touched, Status.ABANDONED),
        is_awaited=bool(touched or work.unit.configuration().tasks_with(trigger_name)),
    )
    work.record(trigger_name, trigger_kwargs, outcome)
    return outcome


def _applied(
    work: Work, trigger_name: str, trigger_kwargs: Mapping[str, Any]
) -> tuple[list[TaskInstance], list[TaskInstance]]:
    """Return the instances that took the trigger, and those that it made."""
    taken = [
        work.save(after, before.status)
        for before, after in _takers(work, trigger_name, trigger_kwargs)
    ]
    took = {instance.task_name for instance in taken}
    created = [
        work.save(instance, None) for instance in _made(work, trigger_name, trigger_kwargs, took)
    ]
    return taken, created


def skip(
    work: Work, instance: TaskInstance, *, cascade: bool, result: Mapping[str, Any]
) -> TaskInstance:
    """Mark the instance skipped; with ``cascade``, fire its task's trigger all the same.

    Raises:
        InvalidTransition: the instance's status does not allow it.
    """
    if not cascade:
        return work.change_to(instance, Status.SKIPPED)
    skipped = work.change_to(instance.with_metadata(result=result), Status.SKIPPED)
    fire(work, instance.task_name, result)
    return skipped


def _fire_once(
    work: Work, trigger_name: str, trigger_kwargs: Mapping[str, Any], event_id: str | None
) -> FireOutcome:
    """Fire, unless the event has been recorded before (F6, F11).

    Raises:
        SessionClosed: it has not, and the session is closed.
    """
    if event_id is None:
        work.check_open()
        return fire(work, trigger_name, trigger_kwargs)
    digest = digest_of(trigger_kwargs)
    recorded = work.unit.outcome(event_id)
    if recorded is not None:
        first = FireOutcome.from_dict(recorded)
        # Releases before this rule recorded no digest.
        if first.trigger_name != trigger_name or recorded.get(_DIGEST, digest) != digest:
            raise _conflict(work.session_uid, event_id, first.trigger_name, trigger_name)
        return first
    work.check_open()
    outcome = fire(work, trigger_name, trigger_kwargs)
    work.unit.record_outcome(event_id, {**outcome.to_dict(), _DIGEST: digest})
    return outcome


def _conflict(session_uid: str, event_id: str, first: str, second: str) -> EventConflict:
    differs = f"now {second!r}" if first != second else f"now {second!r} with other kwargs"
    return EventConflict(
        f"event {event_id!r} of session {session_uid!r} fired {first!r} before, and {differs}; "
        "an event_id stands for one firing: give another firing an id of its own"
    )


def _takers(
    work: Work, trigger_name: str, trigger_kwargs: Mapping[str, Any]
) -> Iterator[tuple[TaskInstance, TaskInstance]]:
    """Yield each instance that waits for the trigger, before and after it took it (F1)."""
    for before in work.unit.waiting_for(trigger_name):
        config = work.task_config(before)
        yield before, join.take(before, config, trigger_name, trigger_kwargs, at=work.at)


def _made(
    work: Work, trigger_name: str, trigger_kwargs: Mapping[str, Any], tasks_that_took: set[str]
) -> Iterator[TaskInstance]:
    """Yield the instances that the trigger makes (F2, F3)."""
    configuration = work.unit.configuration()
    for config in configuration.tasks_with(trigger_name):
        if config.name in tasks_that_took:
            continue
        number = work.next_number(config.name)
        if join.makes_instance(config, trigger_name, exists=number > 0):
            earlier = work.latest_kwargs(config.triggers - {trigger_name})
            yield join.make(
                work.session_uid,
                config,
                configuration.digest,
                number,
                {**earlier, trigger_name: trigger_kwargs},
                at=work.at,
            )


def _names(instances: list[TaskInstance], status: Status | None = None) -> tuple[str, ...]:
    return tuple([each.name for each in instances if status is None or each.status is status])
