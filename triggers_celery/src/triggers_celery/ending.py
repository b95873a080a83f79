"""Celery's own ways of ending a task, in the core's words, and back again for Celery.

================================================  ==========================================
in the task                                       the instance
================================================  ==========================================
``self.retry()``, ``autoretry_for``, ``Retry``    replayed; its clone runs after the countdown
``Ignore``                                        skipped, without a cascade
``Reject(requeue=False)``                         failed; a message is rejected (dead letter)
``Reject(requeue=True)``                          replayed; its clone runs at once
soft time limit, any other exception, exit        failed, with the traceback
hard time limit, worker killed or told to end     its worker is lost: ``on_worker_lost``
``revoke``, before it starts or to terminate it   failed, with ``TaskRevokedError``
================================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone

from celery import Task
from celery.exceptions import Ignore, Reject, Retry

from triggers_core import TaskContext, TriggersError, TriggerTask
from triggers_core.rules.kwargs import Result
from triggers_core.task import (
    MAX_RETRIES,
    RetryRequested,
    SkipRequested,
    check_cooldown,
    check_max_retries,
)


class Translated(TriggerTask):
    """A Celery task as the core sees it: its settings and its ways of ending, translated."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.max_retries = MAX_RETRIES if task.max_retries is None else task.max_retries
        self.cooldown = float(task.default_retry_delay or 0.0)
        self.on_worker_lost = task.on_worker_lost

    def run(self, context: TaskContext) -> Result:
        with _running(self.task), in_the_cores_words():
            result: Result = self.task.run(context)
        return result


def is_running(task: Task) -> bool:
    """Return whether the task itself runs in this thread, and not what Celery has around it."""
    return bool(task.request.called_directly) or task.request.id == _running_id.get()


_running_id: ContextVar[str | None] = ContextVar("triggers_celery_running", default=None)


@contextmanager
def _running(task: Task) -> Iterator[None]:
    token = _running_id.set(task.request.id)
    try:
        yield
    finally:
        _running_id.reset(token)


@contextmanager
def in_the_cores_words() -> Iterator[None]:
    """Let what a Celery task raises to end in a way of its own come out as the core knows it."""
    try:
        yield
    except Ignore as ignore:
        raise SkipRequested(cascade=False, result=None) from ignore
    except Retry as retry:
        raise retry_requested(_countdown(retry), None) from (retry.exc or retry)
    except Reject as reject:
        if reject.requeue:
            raise RetryRequested(0.0, None) from reject
        raise


def retry_requested(countdown: float | None, max_retries: int | None) -> RetryRequested:
    """Return what asks the core for a retry. Raises ConfigurationError for no such numbers.

    Args:
        countdown: seconds, less than 0 counting as 0; None for the task's own delay.
    """
    return RetryRequested(
        None if countdown is None else check_cooldown(max(countdown, 0.0)),
        None if max_retries is None else check_max_retries(max_retries),
    )


def as_replayed(instance_name: str, error: BaseException | None) -> Retry:
    """Return what tells Celery that the instance is replayed: with the error behind it, if any."""
    cause = error or TriggersError("the task asked to be retried")
    return Retry(f"{instance_name} is replayed", exc=cause)


def seconds_until(eta: datetime) -> float:
    """Return how long it is until then, and 0 for a time in the past."""
    now = datetime.now(eta.tzinfo or timezone.utc)
    return max((eta.replace(tzinfo=now.tzinfo) - now).total_seconds(), 0.0)


def _countdown(retry: Retry) -> float | None:
    if isinstance(retry.when, datetime):
        return seconds_until(retry.when)
    return None if retry.when is None else float(retry.when)
