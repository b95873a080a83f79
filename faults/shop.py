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
import tasks
from settings import NAME_VARIABLE
from tasks import FAILING_TARGET, LEASE_SECONDS, MAX_RETRIES, SETTINGS, TARGET, note_instance

from triggers_core import (
    Status,
    Storage,
    TriggerManager,
    default_plugins,
    hookimpl,
    recovery,
    trigger_task,
)
from triggers_core.engine import change

CONFIGURATION: dict[str, dict[str, Any]] = {
    "t_join": {"after": ["paid", "packed", "approved"], "run": TARGET},
    "t_next": {"after": ["paid"], "andEvery": "t_join", "run": TARGET},
    "t_each": {"after": ["paid"], "andEvery": "item", "run": TARGET},
    "t_last": {"after": ["paid"], "andEvery": "t_each", "run": TARGET},
    "t_counted": {
        "after": [{"each": "t_each", "times": {"from": "packed", "key": "items"}}],
        "run": TARGET,
    },
    "t_fails": {"after": ["approved"], "run": FAILING_TARGET, "onFailure": "failed"},
    "t_amends": {"after": ["paid"], "andEvery": "failed", "run": TARGET},
}
HELD_BACK = 3
"""Messages that a process holds back; those that it holds at its end are never sent."""
SKEWS_SECONDS = (-60.0, 0.0, 60.0)

# What the framework waits for, so much shorter that a round is over in seconds.
recovery.HOLD_SECONDS = 2.0
change.DISPATCH_RETRY_SECONDS = 2.0


class ShopManager(TriggerManager):
    """Gives messages and workers up for lost within seconds."""

    name = "faults"
    default_task_runner_name = SETTINGS.runner.partition("-")[0]
    lease_duration = LEASE_SECONDS
    dispatch_timeout = 4.0


class ThreadTasks:
    """The same task for the threading runner."""

    @hookimpl(tryfirst=True)
    def triggers_resolve_task(self, target: str) -> Any:
        body = tasks.TASKS.get(target)
        return trigger_task(max_retries=MAX_RETRIES)(body) if body is not None else None


class Claims:
    """Notes who claims what, by which a repeated execution is explained."""

    @hookimpl
    def triggers_status_changed(self, manager: Any, task_instance: Any) -> None:
        if task_instance.status is Status.RUNNING:
            began = task_instance.changed_at
            note_instance("claimed", manager, task_instance, group=os.getpgrp(), began=began)


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
    def around_transaction(self, transaction: Any, *session: Any) -> Iterator[Any]:
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


def ways_to_open(storage: Storage) -> tuple[str, ...]:
    """Return the methods that open a session to change it."""
    is_own = type(storage).foreseeing is not Storage.foreseeing  # else it is the other once more
    return ("transaction", "foreseeing") if is_own else ("transaction",)


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
        from celery_app import app  # noqa: PLC0415 - threads start faster without Celery

        from triggers_celery import CeleryTaskRunner  # noqa: PLC0415

        plugins.use_runner(CeleryTaskRunner(app))
    storage = plugins.open_storage(SETTINGS.storage_url)
    for way in ways_to_open(storage):
        setattr(storage, way, partial(faults.around_transaction, getattr(storage, way)))
    plugins.add_storage(storage)
    return storage


STORAGE = set_up()
