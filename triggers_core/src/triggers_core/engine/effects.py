"""What a trigger does to a session, within a transaction: instances take it, or are made by it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from triggers_core.engine.outcome import FireOutcome
from triggers_core.engine.work import Work
from triggers_core.errors import DamagedStore, EventConflict, InvalidKwargs
from triggers_core.rules import conditions, join
from triggers_core.rules.config import Configuration, TaskConfig
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.kwargs import digest_of
from triggers_core.storage.base import SessionReader

_DIGEST = "kwargs_digest"
"""Of what was fired, beside the outcome that is recorded for an event."""

_TOLD = ("type", "message")
"""Of an error, what the trigger of a failure is told."""

_logger = logging.getLogger(__name__)

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

    Raises:
        InvalidKwargs: the trigger is to bring a number (C12), and does not.
    """
    if work.closing is not None:
        return _recorded(work, trigger_name, trigger_kwargs)
    waiting = [(each, work.task_config(each)) for each in work.unit.waiting_for(trigger_name)]
    tasks = work.unit.configuration().tasks_with(trigger_name)
    conditional = [config for _, config in waiting if not config.is_plain]
    conditional += [config for config in tasks if not config.is_plain]
    is_logged = bool(conditional) and _logs(work, trigger_name, trigger_kwargs, conditional)
    taken = [
        work.save(join.take(each, config, trigger_name, trigger_kwargs, at=work.at), each.status)
        for each, config in waiting
    ]
    took = {instance.task_name for instance in taken}
    created = [
        work.save(instance, None)
        for instance in _made(work, tasks, trigger_name, trigger_kwargs, took)
    ]
    touched = [*taken, *created]
    outcome = FireOutcome(
        trigger_name,
        created=names(created),
        taken=names(taken),
        scheduled=names(touched, Status.SCHEDULED),
        abandoned=names(touched, Status.ABANDONED),
        is_awaited=bool(touched or tasks),
    )
    work.record(trigger_name, trigger_kwargs, outcome, is_logged=is_logged)
    return outcome


def _recorded(work: Work, trigger_name: str, trigger_kwargs: Mapping[str, Any]) -> FireOutcome:
    is_awaited = bool(work.unit.configuration().tasks_with(trigger_name))
    outcome = FireOutcome(trigger_name, is_awaited=is_awaited)
    work.record(trigger_name, trigger_kwargs, outcome, is_logged=False)
    return outcome


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


def fail(work: Work, instance: TaskInstance, error: Mapping[str, str]) -> TaskInstance:
    """Mark the instance failed for good, and fire the trigger that its task has for that.

    Args:
        error: its type, message and traceback, for the metadata.

    Raises:
        InvalidTransition: the instance's status does not allow it.
    """
    failed = work.change_to(instance.with_metadata(error=error), Status.FAILED)
    trigger_name = _on_failure(work, instance)
    if trigger_name is None:
        return failed
    told = {"instance": instance.name, "attempt": instance.attempt}
    try:
        outcome = fire(work, trigger_name, {**told, **{key: error[key] for key in _TOLD}})
    except InvalidKwargs as refused:  # some task takes it for one that brings a number
        _logger.error(
            "session %r: %s failed, and nothing followed: %s",
            work.session_uid,
            instance.name,
            refused,
        )
        return failed
    took = [*outcome.taken, *outcome.created]
    failed = failed.with_metadata(followed={"trigger": trigger_name, "took": took})
    work.keep(failed)
    return failed


def _on_failure(work: Work, instance: TaskInstance) -> str | None:
    try:
        return work.task_config(instance).on_failure
    except DamagedStore:  # of which the instance may have failed
        return None


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


def earlier(
    of: Work | SessionReader, config: TaskConfig, trigger_names: frozenset[str]
) -> conditions.Taken:
    """Return what an instance takes of what has fired in the session before (F3): of these triggers
    the latest kwargs, and of those that its task counts all firings."""
    if config.is_plain:
        return conditions.Taken(of.latest_kwargs(trigger_names), {})
    counts = {name: of.firing_count(name) for name in config.counted}
    return conditions.Taken(
        join.usable(config, of.latest_kwargs(trigger_names)),
        {name: count for name, count in counts.items() if count},
    )


def _logs(
    work: Work,
    trigger_name: str,
    trigger_kwargs: Mapping[str, Any],
    concerned: Iterable[TaskConfig],
) -> bool:
    """Check the number that the trigger is to bring (C12), and log it if it is counted (C11);
    return whether it is."""
    for config in concerned:
        config.check_numbers(trigger_name, trigger_kwargs)
    is_counted = any(trigger_name in config.counted for config in concerned)
    if is_counted:
        work.unit.log_firing(trigger_name, trigger_kwargs, at=work.at)
    return is_counted


def _made(
    work: Work,
    tasks: Iterable[TaskConfig],
    trigger_name: str,
    trigger_kwargs: Mapping[str, Any],
    tasks_that_took: set[str],
) -> Iterator[TaskInstance]:
    """Yield the instances that the trigger makes (F2, F3), of those of the tasks that name it."""
    for config in tasks:
        if config.name in tasks_that_took:
            continue
        number = work.next_number(config.name)
        if join.makes_instance(config, trigger_name, exists=number > 0):
            before = earlier(work, config, config.triggers - {trigger_name})
            taken = conditions.Taken({**before.kwargs, trigger_name: trigger_kwargs}, before.counts)
            digest = work.unit.configuration().digest
            yield join.make(work.session_uid, config, digest, number, taken, at=work.at)


def names(instances: list[TaskInstance], status: Status | None = None) -> tuple[str, ...]:
    """Return the instances' names: of all, or of those of a status."""
    return tuple([each.name for each in instances if status is None or each.status is status])
