"""The application under faults: its tasks, its manager, and the points at which faults strike.

Everything is injected from outside the framework, by hookimpls and around the storage under test.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import kinds
import sabotage
from celery import Celery
from settings import NAME_VARIABLE, Settings

from triggers_celery import CeleryTaskRunner, CeleryTriggerTask
from triggers_core import (
    Status,
    Storage,
    TriggerManager,
    default_plugins,
    hookimpl,
    recovery,
    trigger_task,
    work,
)

SETTINGS = Settings.load()

CONFIGURATION: dict[str, dict[str, Any]] = {
    "t_join": {"after": ["paid", "packed", "approved"], "run": "shop.task"},
    "t_next": {"after": ["paid"], "andEvery": "t_join", "run": "shop.task"},
    "t_each": {"after": ["paid"], "andEvery": "item", "run": "shop.task"},
    "t_last": {"after": ["paid"], "andEvery": "t_each", "run": "shop.task"},
}
LEASE_SECONDS = 4.0
TASK_SECONDS, SLOW_TASK_SECONDS = 0.01, 1.4 * LEASE_SECONDS
HELD_BACK = 3
"""Messages that a process holds back; those that it holds at its end are never sent."""
SKEWS_SECONDS = (-60.0, 0.0, 60.0)

# What the framework waits for, so much shorter that a round is over in seconds.
recovery.HOLD_SECONDS = 2.0
work.DISPATCH_RETRY_SECONDS = 2.0


class ShopManager(TriggerManager):
    """Gives messages and workers up for lost within seconds."""

    name = "faults"
    default_task_runner_name = SETTINGS.runner.partition("-")[0]
    lease_duration = LEASE_SECONDS
    dispatch_timeout = 4.0


app = Celery("faults", broker=SETTINGS.broker_url)
app.conf.task_default_queue = SETTINGS.queue
app.conf.broker_connection_retry_on_startup = True
app.conf.task_publish_retry_policy = {"max_retries": 1, "interval_start": 0.1}
app.conf.worker_prefetch_multiplier = 1
if SETTINGS.runner == "celery-redis":
    app.conf.broker_transport_options = {
        "global_keyprefix": f"{SETTINGS.queue}-",
        "visibility_timeout": 5,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }


def run(context: Any) -> dict[str, Any]:
    """Note the execution, then take a moment, so that a fault finds something to interrupt."""
    note_instance("ran", context.manager, context.instance)
    slow = context.trigger_kwargs.get("approved", {}).get("slow")
    time.sleep(SLOW_TASK_SECONDS if slow else TASK_SECONDS)
    return {"session": context.manager.session_uid}


@app.task(base=CeleryTriggerTask, name="shop.task", max_retries=1000)
def celery_task(context: Any) -> dict[str, Any]:
    return run(context)


class ThreadTasks:
    """The same task for the threading runner."""

    @hookimpl(tryfirst=True)
    def triggers_resolve_task(self, target: str) -> Any:
        return trigger_task(max_retries=1000)(run) if target == "shop.task" else None


class Claims:
    """Notes who claims what, by which a repeated execution is explained."""

    @hookimpl
    def triggers_status_changed(self, manager: Any, task_instance: Any) -> None:
        if task_instance.status is Status.RUNNING:
            note_instance("claimed", manager, task_instance, group=os.getpgrp())


def note_instance(event: str, manager: Any, instance: Any, **fields: Any) -> None:
    SETTINGS.note(event, session=manager.session_uid, instance=instance.name, **fields)


class Faults:
    """Strikes at its point: kills the process, loses, doubles, delays and reorders messages, or
    sets the clock."""

    def __init__(self) -> None:
        self._random = random.Random(SETTINGS.seed)
        self._held_back: list[Any] = []
        skew = dict(SETTINGS.skews).get(os.environ[NAME_VARIABLE], 0.0)
        real_time = time.time
        self._set_clock = lambda seconds: setattr(time, "time", lambda: real_time() + seconds)
        if skew:
            self._set_clock(skew)

    def maybe_die(self, point: str) -> None:
        if self._strikes(point):
            SETTINGS.note("gone", gone=os.getpid())
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def around_transaction(self, transaction: Any, *session: str) -> Iterator[Any]:
        if self._strikes(kinds.CLOCKS):
            self._set_clock(self._random.choice(SKEWS_SECONDS))
        with transaction(*session) as unit:
            yield unit
            self.maybe_die(kinds.IN_TRANSACTION)

    @hookimpl(tryfirst=True)
    def triggers_run(self, runner: Any, manager: Any, task_instance: Any) -> bool | None:
        self.maybe_die(kinds.BEFORE_DISPATCH)
        if self._strikes(kinds.LOST):
            return True
        if self._strikes(kinds.DOUBLED):
            runner.run(manager, task_instance)
        if self._strikes(kinds.LATE):
            self._hold_back(partial(runner.run, manager, task_instance))
            return True
        return None

    @hookimpl(wrapper=True)
    def triggers_execute(self) -> Any:
        self.maybe_die(kinds.BEFORE_RUN)
        result = yield
        self.maybe_die(kinds.BEFORE_FINISH)
        return result

    def _hold_back(self, send: Any) -> None:
        self._held_back.append(send)
        if len(self._held_back) > HELD_BACK:
            self._held_back.pop(self._random.randrange(HELD_BACK))()

    def _strikes(self, fault: str) -> bool:
        strikes = fault == SETTINGS.fault and SETTINGS.arrive() in SETTINGS.plan
        if strikes:
            SETTINGS.note("struck")
        return strikes


def set_up() -> Storage:
    """Make a process of the campaign ready; return the storage under test."""
    for protection in SETTINGS.without:
        sabotage.PROTECTIONS[protection].take_out()
    plugins = default_plugins()
    faults = Faults()
    plugins.register(faults)
    plugins.register(Claims())
    plugins.managers.add(ShopManager)
    if SETTINGS.runner == "threading":
        plugins.register(ThreadTasks())
    else:
        plugins.use_runner(CeleryTaskRunner(app))
    storage = plugins.open_storage(SETTINGS.storage_url)
    transaction = partial(faults.around_transaction, storage.transaction)
    storage.transaction = transaction  # type: ignore[method-assign]
    plugins.add_storage(storage)
    return storage


STORAGE = set_up()
