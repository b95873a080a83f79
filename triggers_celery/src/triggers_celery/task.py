"""The Celery task that a trigger task is: Celery's message in, an executed instance out.

What Celery's own ways of ending a task do to the instance:

================================================  ==========================================
in the task                                       the instance
================================================  ==========================================
``self.retry()``, ``autoretry_for``, ``Retry``    replayed; its clone runs after the countdown
``Ignore``                                        skipped, without a cascade
``Reject(requeue=False)``                         failed; the message is rejected (dead letter)
``Reject(requeue=True)``                          replayed; its clone runs at once
soft time limit, any other exception, exit        failed, with the traceback
hard time limit, worker killed or told to end     its worker is lost: ``on_worker_lost``
``revoke``, before it starts or to terminate it   failed, with ``TaskRevokedError``
================================================  ==========================================
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import wraps
from typing import Any, NoReturn

from celery import Celery, Task
from celery.exceptions import (
    Ignore,
    Reject,
    Retry,
    SoftTimeLimitExceeded,
    TaskPredicate,
    TaskRevokedError,
)
from celery.signals import task_revoked
from celery.utils.log import get_task_logger

from triggers_celery.message import have_messages_confirmed, plugins_in_use, publish
from triggers_core import (
    DamagedStore,
    DispatchError,
    InvalidReference,
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
from triggers_core.task import (
    MAX_RETRIES,
    OnWorkerLost,
    RetryRequested,
    SkipRequested,
    check_cooldown,
    check_max_retries,
)

STORAGE_RETRY_SECONDS = 10.0
"""From a store that could not be used to the next try of the message."""

TOLD_TO_END = range(1 - 256, signal.NSIG - 256)
"""What a process of Celery's pool exits with: the signal that told it to, less 256."""

_logger = get_task_logger(__name__)


class CeleryTriggerTask(Task):  # type: ignore[misc]  # Celery has no types
    """The base of a trigger task: ``@app.task(base=CeleryTriggerTask)`` on a function of one
    argument, the :class:`~triggers_core.TaskContext`; with ``bind=True``, of ``self`` and it.

    It is an ordinary task of an ordinary app: name, routes, queues, limits, annotations and
    monitors apply. ``max_retries`` and ``default_retry_delay`` are the trigger task's
    ``max_retries`` and ``cooldown``.

    Attributes:
        on_worker_lost: see :class:`triggers_core.TriggerTask`.
    """

    abstract = True
    acks_late = True
    reject_on_worker_lost = True
    serializer = "json"
    on_worker_lost: OnWorkerLost = "rerun"

    def __init_subclass__(cls, **options: Any) -> None:
        """Have ``run`` claim what a message refers to, should a class' ``__call__`` go there."""
        super().__init_subclass__(**options)
        if "run" in vars(cls):
            cls.run = _claiming(vars(cls)["run"])

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        """Have RabbitMQ confirm what is published, unless the application decided otherwise."""
        have_messages_confirmed(app)

    def __call__(self, /, *arguments: Any, **more: Any) -> Any:
        """Execute the instance that a message refers to; given a context, just run the task.

        Whatever else a message brings is refused as the reference that it is not.
        """
        if _is_context(arguments, more):
            return self.run(*arguments)
        return _receive(self, _message_in(arguments, more))

    def retry(  # noqa: PLR0917 - Celery's signature
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> NoReturn:
        """Retry as Celery does, by a clone of the instance; it always raises.

        The instance's kwargs stay as they are, and its ``celery`` directive says how the
        message is sent: ``args``, ``kwargs`` and message options are of no effect here.
        """
        if countdown is None and eta is not None:
            countdown = _seconds_until(eta)
        raise _retry_requested(countdown, max_retries) from exc


def as_trigger_task(task: CeleryTriggerTask) -> _Adapter:
    """Return the task as the core sees it, for one execution."""
    return _Adapter(task)


# What follows are no methods of the task: a class-based task has all names to itself.


def _claiming(run: Any) -> Callable[..., Any]:
    """Return a ``run`` that is never given a message, but the context of what it refers to.

    Args:
        run: a function, or what a decorator such as ``staticmethod`` makes of one.
    """

    @wraps(getattr(run, "__func__", run))
    def run_or_receive(self: CeleryTriggerTask, /, *arguments: Any, **more: Any) -> Any:
        if _is_context(arguments, more) or self.request.called_directly:
            return run.__get__(self, type(self))(*arguments, **more)
        return _receive(self, _message_in(arguments, more))

    return run_or_receive


def _is_context(arguments: tuple[Any, ...], more: Mapping[str, Any]) -> bool:
    return len(arguments) == 1 and not more and isinstance(arguments[0], TaskContext)


def _message_in(arguments: tuple[Any, ...], more: Mapping[str, Any]) -> Any:
    return arguments[0] if len(arguments) == 1 and not more else [*arguments, more]


def _on_revoked(sender: Any, request: Any, expired: bool, **_: Any) -> None:
    if not isinstance(sender, CeleryTriggerTask):
        return
    if expired:
        _forget_expired(request.id)
    else:
        # Its message is discarded, now and each time that it is sent again.
        error = TaskRevokedError("revoked by a command to the worker")
        _cancel(sender, request.id, request.args[0], error)


task_revoked.connect(_on_revoked)


def _forget_expired(message_id: str) -> None:
    """Let a worker take the message that is sent again in place of one that expired.

    It has the same id, and Celery refuses for hours what it has once found expired.
    """
    from celery.worker.state import revoked  # noqa: PLC0415 - slow; workers have it already

    revoked.discard(message_id)


def _cancel(task: CeleryTriggerTask, message_id: str, message: Any, error: Exception) -> None:
    """Fail the instance for what befell its message and not its task."""
    try:
        cancel(*_open(task, message), error)
    except Exception:
        _logger.exception(
            "message %s ends by %s, but its instance could not be failed",
            message_id,
            type(error).__name__,
        )


def _receive(task: CeleryTriggerTask, message: Any) -> Any:
    """Execute what the message refers to; reject a message that cannot be followed."""
    try:
        adapter = _Adapter(task)
        ended = _execute(adapter, message)
    except TaskPredicate:
        raise
    except SoftTimeLimitExceeded as error:  # on the way to the task, or from it
        _cancel(task, task.request.id, message, error)
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
        _tell_celery(ended, adapter)
    return None


def _execute(adapter: _Adapter, message: Any) -> TaskInstance:
    manager, instance = _open(adapter.task, message)
    seconds = instance.not_before - manager.storage.now()
    if seconds > 0 and not adapter.task.request.is_eager:
        _send_on(adapter.task, manager, instance, seconds)
    try:
        ended = execute(manager, instance, resolve=lambda *_: adapter)
    except DispatchError as error:
        _logger.error("%s", error)
        ended = manager.instance(instance.name)
    if ended is None:
        _drop(adapter.task, manager, instance)
    return ended


def _open(task: CeleryTriggerTask, message: Any) -> tuple[TriggerManager, TaskInstance]:
    manager, instance = Reference.from_dict(message).open(plugins_in_use())
    target = manager.task_config(instance).run
    if target != task.name:
        raise InvalidReference(
            f"{instance.name} of session {manager.session_uid!r} runs {target!r}, but the message "
            f"went to {task.name!r}"
        )
    return manager, instance


def _drop(task: CeleryTriggerTask, manager: TriggerManager, instance: TaskInstance) -> NoReturn:
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
    task: CeleryTriggerTask, manager: TriggerManager, instance: TaskInstance, seconds: float
) -> NoReturn:
    """Send the message on for later, in place of the one at hand."""
    try:
        publish(task, manager, instance, countdown=seconds)
    except task.OperationalError as error:
        raise Reject(f"the message cannot be sent on: {error}", requeue=True) from error
    raise Ignore


def _try_again_later(task: CeleryTriggerTask, error: StorageError) -> NoReturn:
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


class _Adapter(TriggerTask):
    """One execution of a Celery task, with Celery's ways of ending it translated."""

    def __init__(self, task: CeleryTriggerTask) -> None:
        self.task = task
        self.max_retries = MAX_RETRIES if task.max_retries is None else task.max_retries
        self.cooldown = float(task.default_retry_delay or 0.0)
        self.on_worker_lost = task.on_worker_lost
        self.error: Exception | None = None

    def run(self, context: TaskContext) -> Result:
        try:
            result: Result = self.task.run(context)
        except Ignore as ignore:
            raise SkipRequested(cascade=False, result=None) from ignore
        except Retry as retry:
            raise _retry_requested(_countdown(retry), None) from (retry.exc or retry)
        except Reject as reject:
            if reject.requeue:
                raise RetryRequested(0.0, None) from reject
            self.error = reject
            raise
        except SystemExit as leaving:
            _leave_at_once_if_told(leaving)
            raise
        except Exception as error:
            self.error = error
            raise
        return result


def _leave_at_once_if_told(leaving: SystemExit) -> None:
    """End this process if it was a signal that told it to end, as a hard time limit does.

    The worker is lost then, as by a kill. Passed on, the exception would be recorded as a
    failure of the task, if the process were given the time.
    """
    if isinstance(leaving.code, int) and leaving.code in TOLD_TO_END:
        os._exit(leaving.code % 256)


def _tell_celery(ended: TaskInstance, task: _Adapter) -> NoReturn:
    """Leave the Celery task in the state that its monitors know for such an end."""
    error = ended.metadata.get("error", {})
    reason = f"{error.get('type')}: {error.get('message')}"
    if ended.status is Status.FAILED:
        raise task.error or TriggersError(reason)
    if ended.status is Status.REPLAYED:
        raise Retry(f"{ended.name} is replayed", exc=task.error or TriggersError(reason))
    raise Ignore


def _retry_requested(countdown: float | None, max_retries: int | None) -> RetryRequested:
    return RetryRequested(
        None if countdown is None else check_cooldown(max(countdown, 0.0)),
        None if max_retries is None else check_max_retries(max_retries),
    )


def _countdown(retry: Retry) -> float | None:
    if isinstance(retry.when, datetime):
        return _seconds_until(retry.when)
    return None if retry.when is None else float(retry.when)


def _seconds_until(eta: datetime) -> float:
    now = datetime.now(eta.tzinfo or timezone.utc)
    return max((eta.replace(tzinfo=now.tzinfo) - now).total_seconds(), 0.0)
