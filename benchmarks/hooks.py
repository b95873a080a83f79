"""What hooks cost a fire: without observers, with one, with ten.

In memory, where a fire is quickest, the clock is the processor time of this process: what is
measured is small.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from fire import JOIN, fire_joins
from measure import Pair, Prepare, Scale, Subject, Target, cost
from sessions import new_session, null_plugins

from triggers_core import BaseTaskRunner, MemoryStorage, Plugins, SqliteStorage, hookimpl
from triggers_core.storage import Storage

JOINS = 20
NEXT_TO_NOTHING = Target(at_most=1.02)


class Observer:
    """Implements what a fire tells of, and does nothing."""

    @hookimpl
    def triggers_fired(self, manager: Any, trigger_name: str, outcome: Any) -> None:
        pass

    @hookimpl
    def triggers_status_changed(self, manager: Any, task_instance: Any) -> None:
        pass


class Unobserved(Plugins):
    """Asks for no observer and calls none."""

    is_observed = False

    def has_hook(self, hook_name: str) -> bool:
        return False


class Unhooked(Unobserved):
    """Calls no hook at all: what the core does at one is called directly."""

    @property
    def hook(self) -> Any:
        return self

    def triggers_check_task(self, **arguments: Any) -> None:
        pass

    def triggers_select_runner(self, **arguments: Any) -> None:
        return None

    def triggers_run(self, runner: BaseTaskRunner, manager: Any, task_instance: Any) -> None:
        runner.run(manager, task_instance)


def subjects(scale: Scale) -> Iterator[Subject]:
    yield subject("memory", MemoryStorage(), scale, time.process_time, None)
    storage = SqliteStorage(scale.folder / "hooks.db")
    yield subject("SQLite FULL", storage, scale, time.perf_counter, NEXT_TO_NOTHING)
    storage.close()


def subject(
    name: str,
    storage: Storage,
    scale: Scale,
    clock: Callable[[], float],
    of_all_hooks: Target | None,
) -> Subject:
    joins = scale.count(JOINS)

    def side(plugins: Plugins) -> Prepare:
        def prepare() -> Callable[[], float]:
            managers = [new_session(storage, JOIN, plugins) for _ in range(joins)]

            def run() -> float:
                began = clock()
                fire_joins(managers)
                return clock() - began

            return run

        return prepare

    return Subject(
        f"hooks, {name}",
        {
            "no observer": side(null_plugins()),
            "no observer calls": side(null_plugins(Unobserved)),
            "no hook calls": side(null_plugins(Unhooked)),
            "1 observer": side(observed_by(1)),
            "10 observers": side(observed_by(10)),
        },
        [
            Pair(
                "a fire without observers / and observer calls",
                "no observer",
                "no observer calls",
                NEXT_TO_NOTHING,
                cost,
            ),
            Pair("… / and any hook call", "no observer", "no hook calls", of_all_hooks, cost),
            Pair("a fire with 1 observer / without", "1 observer", "no observer", None, cost),
            Pair("… with 10 observers / without", "10 observers", "no observer", None, cost),
        ],
        count=2 * joins,
        seconds=10,
    )


def observed_by(observers: int) -> Plugins:
    plugins = null_plugins()
    for _ in range(observers):
        plugins.register(Observer())
    return plugins
