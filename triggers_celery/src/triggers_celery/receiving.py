"""The worker's side: a message in, an executed instance out, and Celery told how it ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded, TaskPredicate
from celery.utils.log import get_task_logger

from triggers_celery.ending import as_replayed
from triggers_celery.lookup import RUN_NAME, find_tasks
from triggers_celery.message import plugins_in_use, publish
from triggers_core import (
    ConfigurationError,
    DamagedStore,
    DispatchError,
    InvalidReference,
    MaxRetriesExceeded,
    Reference,
    Status,
    StorageError,
    TaskContext,
    TaskInstance,
    TriggerManager,
    TriggersError,
    TriggerTask,
    cancel,
    execute,
)
from triggers_core.recovery import take_over
from triggers_core.rules.kwargs import Result
from triggers_core.task import RetryRequested

STORAGE_RETRY_SECONDS = 10.0
"""From a store that could not be used to the next try of the message."""

POOLS_OF_GREENLETS = frozenset({"eventlet", "gevent", "greenlet"})
"""Packages whose time limits and kills are exceptions of their own, and no ``Exception``."""

TOLD_TO_END = range(1 - 256, signal.NSIG - 256)
"""What a process of Celery's pool exits with: the signal that told it to, less 256."""

Resolve = Callable[[TriggerManager, TaskInstance], TriggerTask]

_logger = get_task_logger(__name__)


def receive(task: Task, message: Any, resolve: Resolve) -> Any:
    """Execute what the message refers to; reject a message that cannot be followed.

    Args:
        task: the Celery task that the message came to.
        resolve: returns the task that the instance runs.
    """
    watch = _Watch(resolve)
    try:
        ended = _execute(task, message, watch)
    except TaskPredicate:
        raise
    except SoftTimeLimitExceeded as error:  # on the way to the task, or from it
        cancel_message(task, task.request.id, message, error)
        raise
    except Exception as error:  # a manager's constructor may raise anything
        if task.request.is_eager:
            raise
        if isinstance(error, StorageError) and not isinstance(error, DamagedStore):
            _try_again_later(task, error)
        is_ours = isinstance(error, TriggersError)
        reason = error if is_ours else "it cannot be opened here"
        _logger.error("message %s is rejected: %s", task.request.id, reason, exc_info=not is_ours)
        raise Reject(str(error), requeue=False) from error
    if ended.status is Status.FINISHED:
        return ended.metadata["result"]
    if not task.request.is_eager:
        _tell_celery(ended, watch.error)
    return None


def cancel_message(task: Task, message_id: str, message: Any, error: Exception) -> None:
    """Fail the instance for what befell its message and not its task."""
    try:
        cancel(*_open(task, message), error)
    except Exception:
        _logger.exception(
            "message %s ends by %s, but its instance could not be failed",
            message_id,
            type(error).__name__,
        )


def forget_expired(message_id: str) -> None:
    """Let a worker take the message that is sent again in place of one that expired.

    It has the same id, and Celery refuses for hours what it has once found expired.
    """
    from celery.worker.state import revoked  # noqa: PLC0415 - slow; workers have it already

    revoked.discard(message_id)


def _execute(task: Task, message: Any, watch: _Watch) -> TaskInstance:
    manager, instance = _open(task, message)
    seconds = instance.not_before - manager.storage.now()
    if seconds > 0 and not task.request.is_eager:
        _send_on(task, manager, instance, seconds)
    try:
        ended = execute(manager, instance, resolve=watch.resolve)
    except DispatchError as error:
        _logger.error("%s", error)
        ended = manager.instance(instance.name)
    except (Exception, SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        if _is_the_pools(error):
            raise
        # The task's own, as asyncio's CancelledError, and recorded: it is to end no process.
        ended = manager.instance(instance.name)
    if ended is None:
        _drop(task, manager, instance)
    return ended


def _is_the_pools(error: BaseException) -> bool:
    """Return whether the pool threw this into the task, and waits for it to come out."""
    return type(error).__module__.partition(".")[0] in POOLS_OF_GREENLETS


def _open(task: Task, message: Any) -> tuple[TriggerManager, TaskInstance]:
    manager, instance = Reference.from_dict(message).open(plugins_in_use())
    target = manager.task_config(instance).run
    if target != task.name and task.name not in _names_of(target, task, manager):
        raise InvalidReference(
            f"{instance.name} of session {manager.session_uid!r} runs {target!r}, but the message "
            f"went to {task.name!r}"
        )
    return manager, instance


def _names_of(target: str, task: Task, manager: TriggerManager) -> set[str]:
    """Return the names of the Celery tasks to which a message for that target may go."""
    try:
        manager.plugins.check_target(target)
    except ConfigurationError:
        return {task.name}  # nothing is imported for it; resolved, it is refused, and fails for it
    return {found.name for found in find_tasks(target, task.app)} or {RUN_NAME}


def _drop(task: Task, manager: TriggerManager, instance: TaskInstance) -> NoReturn:
    """Drop a message whose instance another one claimed; but while that one's worker may die,
    come back when its lease runs out."""
    if task.request.is_eager:
        raise Ignore
    current = manager.instance(instance.name)
    if current.status is Status.RUNNING and current.recover_at is not None:
        seconds = current.recover_at - manager.storage.now()
        if seconds > 0:
            _send_on(task, manager, instance, seconds)
        try:
            take_over(manager, current)
        except DispatchError as error:
            _logger.error("%s", error)
    raise Ignore


def _send_on(
    task: Task, manager: TriggerManager, instance: TaskInstance, seconds: float
) -> NoReturn:
    """Send the message on for later, in place of the one at hand."""
    try:
        publish(task, manager, instance, countdown=seconds)
    except task.OperationalError as error:
        raise Reject(f"the message cannot be sent on: {error}", requeue=True) from error
    raise Ignore


def _try_again_later(task: Task, error: StorageError) -> NoReturn:
    """Send the same message again. Without the store, nothing but the message is known."""
    _logger.error(
        "message %s is tried again in %s s: %s", task.request.id, STORAGE_RETRY_SECONDS, error
    )
    message = task.signature_from_request(countdown=STORAGE_RETRY_SECONDS, add_to_parent=False)
    try:
        message.apply_async()
    except task.OperationalError as unreachable:
        raise Reject(f"the message cannot be sent again: {unreachable}", requeue=True) from error
    raise Ignore


class _Watch:
    """Looks on as the task runs, and keeps the error that it ended by, for Celery to be told."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self.error: BaseException | None = None

    def resolve(self, manager: TriggerManager, instance: TaskInstance) -> TriggerTask:
        return _Watched(self._resolve(manager, instance), self)


class _Watched(TriggerTask):
    def __init__(self, task: TriggerTask, watch: _Watch) -> None:
        self._task = task
        self._watch = watch
        self.max_retries = task.max_retries
        self.cooldown = task.cooldown
        self.on_worker_lost = task.on_worker_lost

    def reruns_left(self, attempt: int) -> int:
        return self._task.reruns_left(attempt)

    def run(self, context: TaskContext) -> Result:
        try:
            return self._task.run(context)
        except RetryRequested as asked:
            self._watch.error = asked.reason
            raise
        except SystemExit as leaving:
            _leave_at_once_if_told(leaving)
            raise
        except Exception as error:
            self._watch.error = error
            raise


def _leave_at_once_if_told(leaving: SystemExit) -> None:
    """End this process if it was a signal that told it to end, as a hard time limit does.

    The worker is lost then, as by a kill. Passed on, the exception would be recorded as a
    failure of the task, if the process were given the time.
    """
    if isinstance(leaving.code, int) and leaving.code in TOLD_TO_END:
        os._exit(leaving.code % 256)


def _tell_celery(ended: TaskInstance, error: BaseException | None) -> NoReturn:
    """Leave the Celery task in the state that its monitors know for such an end."""
    if ended.status is Status.FAILED:
        raise _told_as_failed(ended, error)
    if ended.status is Status.REPLAYED:
        raise as_replayed(ended.name, error)
    raise Ignore


def _told_as_failed(ended: TaskInstance, error: BaseException | None) -> BaseException:
    recorded = ended.metadata.get("error", {})
    if recorded.get("type") == MaxRetriesExceeded.__name__:
        return MaxRetriesExceeded(recorded["message"])
    if error is None or isinstance(error, MemoryError):  # for which Celery ends the whole worker
        return TriggersError(f"{recorded.get('type')}: {recorded.get('message')}")
    return error
