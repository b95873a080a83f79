"""The worker's side: claim an instance, run its task, record how it ended (rules X1 to X5)."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from triggers_core.engine.change import change
from triggers_core.engine.effects import fail, fire, skip
from triggers_core.engine.foresight import foresee
from triggers_core.engine.work import Work
from triggers_core.errors import InvalidKwargs
from triggers_core.manager import TriggerManager
from triggers_core.plugins.core_hooks import RUN_TASK
from triggers_core.rules.instance import ACTIVE, Status, TaskInstance
from triggers_core.rules.kwargs import encode_kwargs
from triggers_core.task import (
    RetryRequested,
    SkipRequested,
    TaskContext,
    TriggerTask,
    as_task,
)
from triggers_core.worker.lease import KEEPER

ResolveTask = Callable[[TriggerManager, TaskInstance], TriggerTask]

_logger = logging.getLogger(__name__)


class _Received(NamedTuple):
    """What the task is given: merged kwargs by trigger, and each firing of the counted ones."""

    kwargs: dict[str, dict[str, Any]]
    firings: dict[str, list[dict[str, Any]]]


def execute(
    manager: TriggerManager,
    task_instance: TaskInstance,
    *,
    resolve: ResolveTask | None = None,
) -> TaskInstance | None:
    """Run a scheduled instance to its end, cascade included. Every runner calls this.

    Waits for the instance's ``not_before`` first. Safe to call twice with the same instance,
    from anywhere: the call that claims it runs it, the other returns at once. It runs in a copy of
    the caller's context: what the task does to context variables is not seen by the worker's next.

    Args:
        task_instance: as it was dispatched; its attempt is compared with the store's.
        resolve: finds the task; None for the manager's own. A runner passes its ``resolve``.

    Returns:
        The instance as it ended, or None when it was not this call's to run.

    Raises:
        DispatchError: the task ran and its end is recorded, but an instance that its cascade
            scheduled reached no runner.
        StorageError: the claim or the end could not be recorded.
        InstanceNotFound: the session has no such instance.
    """
    return copy_context().run(_execute, manager, task_instance, resolve)


def _execute(
    manager: TriggerManager, task_instance: TaskInstance, resolve: ResolveTask | None
) -> TaskInstance | None:
    _wait_until(task_instance.not_before, manager)
    task = _resolve(manager, task_instance, resolve)
    context = _claim(manager, task_instance, task)
    if context is None:
        return None
    if isinstance(task, BaseException):
        return _fail(context, task)
    try:
        with KEEPER.holding(manager, context.instance):
            result = manager.plugins.hook.triggers_execute(context=context, task=task)
        text = encode_kwargs(result, f"task {task_instance.task_name!r}, result")
    except SkipRequested as asked:
        return _skip(context, asked)
    except RetryRequested as asked:
        return _retry(context, asked, task)
    except Exception as error:
        return _fail(context, error)
    except BaseException as error:
        _fail(context, error)
        raise
    return _finish(context, text)


def cancel(
    manager: TriggerManager, task_instance: TaskInstance, error: BaseException
) -> TaskInstance | None:
    """End an attempt as failed from outside of its execution: before it runs, or while it does.

    It does not stop what runs: that one's end will not be recorded any more. Atomic, and safe to
    call twice.

    Args:
        task_instance: its attempt is compared with the store's.
        error: why, for the instance's metadata.

    Returns:
        The instance as failed, or None where this attempt is over.

    Raises:
        StorageError: the end could not be recorded.
        InstanceNotFound: the session has no such instance.
    """

    def end(work: Work) -> TaskInstance | None:
        current = work.find(task_instance.name)
        if current.status not in ACTIVE or current.attempt != task_instance.attempt:
            return None
        if current.status is Status.SCHEDULED:
            current = work.change_to(current, Status.RUNNING)
        return fail(work, current, _described(error))

    return change(manager, end)


def _wait_until(not_before: float, manager: TriggerManager) -> None:
    """A runner that can delay work has waited already; this makes the rest keep X4 too."""
    while (remaining := not_before - manager.storage.now()) > 0:
        time.sleep(remaining)


def _resolve(
    manager: TriggerManager, instance: TaskInstance, resolve: ResolveTask | None
) -> TriggerTask | Exception | SystemExit:
    """Return the task, or why there is none: that is for the claimed instance to record."""
    try:
        found = resolve(manager, instance) if resolve else manager.resolve(instance)
        return as_task(found, manager.task_config(instance).run)
    except (Exception, SystemExit) as error:  # a module may leave while it is imported
        return error


def _claim(
    manager: TriggerManager, dispatched: TaskInstance, task: TriggerTask | BaseException
) -> TaskContext | None:
    """Return what the task is told, its instance running, under a lease; None when that is not to
    be run (X1)."""
    found = None if isinstance(task, BaseException) else task
    reruns_left = 0 if found is None else found.reruns_left(dispatched.attempt)

    def claim(work: Work) -> tuple[TaskInstance, _Received | None]:
        current = work.find(dispatched.name)
        if current.status is not Status.SCHEDULED or current.attempt != dispatched.attempt:
            return current, None
        # Before observers are told, who may do to theirs what they like.
        received = _Received({}, {}) if found is None else _received(work, current)
        lease_end = work.at + manager.lease_duration
        running = work.change_to(
            current, Status.RUNNING, recover_at=lease_end, reruns_left=reruns_left
        )
        return running, received

    ahead = partial(foresee, instances=[_key(dispatched)])
    current, received = change(manager, claim, foresee=ahead)
    if received is not None:
        return TaskContext(manager, current, received.kwargs, received.firings)
    _logger.info(
        "session %r: dropped a message for %s, attempt %d: it is %s, attempt %d",
        manager.session_uid,
        dispatched.name,
        dispatched.attempt,
        current.status,
        current.attempt,
    )
    return None


def _received(work: Work, instance: TaskInstance) -> _Received:
    config = work.task_config(instance)
    counted = (config.counted | instance.counts.keys()) - config.ignored
    firings = {
        name: config.received_each(name, _taken_of(name, work, instance))
        for name in sorted(counted)
    }
    return _Received(config.received(instance.trigger_kwargs), firings)


def _taken_of(name: str, work: Work, instance: TaskInstance) -> list[dict[str, Any]]:
    """Return what the instance took of a counted trigger, each time."""
    if name in instance.counts:
        return work.unit.firings(name, instance.counts[name])
    # A replay by hand may be the first to count what it took once.
    return [dict(instance.trigger_kwargs[name])] if name in instance.trigger_kwargs else []


def _finish(context: TaskContext, text: str) -> TaskInstance | None:
    def finish(work: Work, instance: TaskInstance) -> TaskInstance:
        result = json.loads(text)
        finished = work.change_to(instance.with_metadata(result=result), Status.FINISHED)
        fire(work, instance.task_name, result)
        return finished

    return _end_or_fail(context, finish)


def _skip(context: TaskContext, asked: SkipRequested) -> TaskInstance | None:
    try:
        text = encode_kwargs(asked.result, f"task {context.instance.task_name!r}, skip")
    except InvalidKwargs as error:
        return _fail(context, error)

    def end(work: Work, instance: TaskInstance) -> TaskInstance:
        if asked.reason is not None:
            instance = instance.with_metadata(reason=asked.reason)
        return skip(work, instance, cascade=asked.cascade, result=json.loads(text))

    return _end_or_fail(context, end)


def _retry(context: TaskContext, retry: RetryRequested, task: TriggerTask) -> TaskInstance | None:
    refused = retry.refusal(task, context)
    if refused is not None:
        return _fail(context, refused)
    reason = retry.reason
    cooldown = task.cooldown if retry.cooldown is None else retry.cooldown

    def end(work: Work, instance: TaskInstance) -> TaskInstance:
        if reason is not None:
            instance = instance.with_metadata(error=_described(reason))
        work.replay(
            instance,
            attempt=context.attempt + 1,
            config_digest=instance.config_digest,
            not_before=work.at + cooldown if cooldown else 0.0,
        )
        return work.find(instance.name)

    return _end(context, end)


def _fail(context: TaskContext, error: BaseException) -> TaskInstance | None:
    described = _described(error)
    _logger.error(
        "session %r: %s, attempt %d, failed: %s: %s; the instance's metadata has the traceback",
        context.manager.session_uid,
        context.instance.name,
        context.attempt,
        described["type"],
        described["message"],
    )

    return _end(context, lambda work, instance: fail(work, instance, described))


def _end_or_fail(
    context: TaskContext, end: Callable[[Work, TaskInstance], TaskInstance]
) -> TaskInstance | None:
    """Record the end; as a failure if its result was to bring a number, and does not (C12)."""
    try:
        return _end(context, end)
    except InvalidKwargs as error:
        return _fail(context, error)


def _end(
    context: TaskContext, end: Callable[[Work, TaskInstance], TaskInstance]
) -> TaskInstance | None:
    """Record the end in one transaction, if the instance is still this execution's."""
    manager, running = context.manager, context.instance

    def end_if_it_runs(work: Work) -> tuple[TaskInstance, bool]:
        current = work.find(running.name)
        if current.status is not Status.RUNNING or current.attempt != running.attempt:
            return current, False
        if context.logger.kept:
            current = current.with_metadata(logs=context.logger.kept)
        return end(work, current), True

    # An end that has no cascade asks a little too much.
    ahead = partial(foresee, instances=[_key(running)], triggers=[running.task_name])
    current, is_ended = change(manager, end_if_it_runs, foresee=ahead)
    if is_ended:
        return current
    _logger.warning(
        "session %r: %s, attempt %d, ended, but it is %s by now; this end is not recorded",
        manager.session_uid,
        running.name,
        running.attempt,
        current.status,
    )
    return None


def _key(instance: TaskInstance) -> tuple[str, int]:
    return instance.task_name, instance.number


def _described(error: BaseException) -> dict[str, str]:
    return {
        "type": type(error).__name__,
        "message": _text(error),
        "traceback": _traceback(error),
    }


def _traceback(error: BaseException) -> str:
    step = _from_the_task_on(error)
    try:
        return "".join(traceback.format_exception(type(error), error, step))
    except Exception as broken:  # Python asks the exception for much, and it may answer anything
        lines = "".join(traceback.format_tb(step))
        return f"{lines}{type(error).__name__} (not whole: {type(broken).__name__})"


def _from_the_task_on(error: BaseException) -> TracebackType | None:
    """Return the traceback without the framework's own steps to the task; whole, if the error
    did not come from there."""
    step, is_reached = error.__traceback__, False
    while step is not None:
        module = step.tb_frame.f_globals.get("__name__")
        if is_reached and module != TriggerTask.__module__:
            return step
        is_reached = is_reached or step.tb_frame.f_code is RUN_TASK.__code__
        step = step.tb_next
    return error.__traceback__


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(its message cannot be had: {type(broken).__name__})"
