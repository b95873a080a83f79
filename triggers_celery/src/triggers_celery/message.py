"""An instance's message on its way to a Celery worker: what is in it, when it is due, its id.

It is a reference and nothing more, so that a broker holds neither data nor credentials.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from triggers_celery.directive import message_options
from triggers_celery.lookup import RUN_NAME
from triggers_core import Plugins, Reference, TaskInstance, TriggerManager, default_plugins

if TYPE_CHECKING:
    from celery import Celery, Task

LONGEST_COUNTDOWN = 600.0
"""Seconds. A broker takes a message that a worker holds for too long for lost and delivers it
again: Redis after its visibility timeout (an hour unless set), RabbitMQ after its consumer
timeout (half an hour). A longer cooldown is therefore sent on in hops."""
SHORTEST_HOP = 1.0
"""Seconds; however short the application sets the visibility timeout."""

_NAMESPACE = uuid.UUID("d6a2a1a6-6f2e-4b0e-9f2b-6f0c1f3d7c11")
_plugins_in_use: ContextVar[Plugins | None] = ContextVar("triggers_celery_plugins", default=None)
_logger = logging.getLogger(__name__)


def publish(
    task: Task,
    manager: TriggerManager,
    instance: TaskInstance,
    *,
    countdown: float | None = None,
) -> None:
    """Send the message that runs an instance; in eager mode, run it in this thread: now, or when
    the eager task that sends it has ended.

    Args:
        countdown: seconds; None for what is left of the instance's cooldown.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached, after Celery's own
            retries (``task_publish_retry_policy``).
        TriggersError: in eager mode, the message could not be followed.
    """
    send = partial(_send, task, manager, instance, countdown)
    if task.app.conf.task_always_eager:
        _eager.run(send, f"session {manager.session_uid!r}: {instance.name}")
    else:
        send()


def _send(
    task: Task,
    manager: TriggerManager,
    instance: TaskInstance,
    countdown: float | None,
) -> None:
    reference = Reference.to(manager, instance)
    if countdown is None:
        countdown = max(instance.not_before - manager.storage.now(), 0.0)
    countdown = min(countdown, _longest_countdown(task.app))
    apply_async = partial(
        task.apply_async,
        args=[reference.to_dict()],
        argsrepr=f"({reference.session!r}, {reference.instance!r}, {reference.attempt})",
        task_id=task_id(reference),
        retries=instance.attempt - 1,
        serializer="json",
        add_to_parent=False,
        **_options(task, manager, instance, countdown),
    )
    with _using(cast("Plugins", manager.plugins)):
        try:
            sent = apply_async(countdown=countdown or None)
        except ValueError:
            # Where RabbitMQ itself delays messages (quorum queues), it does so for whole seconds.
            if not 0.0 < countdown < 1.0:
                raise
            sent = apply_async(countdown=1.0)
    if task.app.conf.task_always_eager and sent.failed():
        raise sent.result


def have_messages_confirmed(app: Celery) -> None:
    """Have RabbitMQ confirm what is published, unless the application decided otherwise.

    Without it a message that the broker did not get is lost without a word, until ``recover``
    finds it missing. Other brokers pay no attention to the option.
    """
    options = dict(app.conf.broker_transport_options or {})
    options.setdefault("confirm_publish", True)
    app.conf.broker_transport_options = options


class _EagerRuns(threading.local):
    """What runs in this thread in eager mode, one after the other.

    Were each run inside the one that leads to it, then a long cascade, or many retries, would be
    a recursion that Python does not allow.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], None], str]] | None = None

    def run(self, send: Callable[[], None], what: str) -> None:
        """Run it and whatever that leads to; or, inside of such a run, leave it to that one."""
        if self._waiting is not None:
            self._waiting.append((send, what))
            return
        self._waiting = deque()
        try:
            send()
            while self._waiting:
                send, what = self._waiting.popleft()
                try:
                    send()
                except Exception:
                    _logger.exception("%s did not run; 'recover' will send it", what)
        finally:
            self._waiting = None


_eager = _EagerRuns()


def task_id(reference: Reference) -> str:
    """Return the id of the Celery task that runs the instance; it depends on nothing else."""
    return str(uuid.uuid5(_NAMESPACE, repr(reference)))


def plugins_in_use() -> Plugins:
    """Return the plugins of the dispatching manager in eager mode, else this process's."""
    return _plugins_in_use.get() or default_plugins()


@contextmanager
def _using(plugins: Plugins) -> Iterator[None]:
    token = _plugins_in_use.set(plugins)
    try:
        yield
    finally:
        _plugins_in_use.reset(token)


def _longest_countdown(app: Celery) -> float:
    visibility_timeout: float | None = (app.conf.broker_transport_options or {}).get(
        "visibility_timeout"
    )
    if visibility_timeout is None:
        return LONGEST_COUNTDOWN
    return max(min(LONGEST_COUNTDOWN, visibility_timeout / 2), SHORTEST_HOP)


def _options(
    task: Task, manager: TriggerManager, instance: TaskInstance, countdown: float
) -> dict[str, Any]:
    """Return the directive's options, and by what name the message is routed and told.

    A message lives ``expires`` seconds from when it is due: one whose cooldown is longer would
    else never run.
    """
    config = manager.task_config(instance)
    options = message_options(config)
    if task.name == RUN_NAME:
        options.update(route_name=config.run, shadow=config.run)
    expires = options.get("expires", task.expires)
    if isinstance(expires, (int, float)):
        options["expires"] = expires + countdown
    return options
