"""Joins on threads against a bare ThreadPoolExecutor that does the same storage transactions.

Four transactions a join on both sides: two triggers fired, the task claimed, its end recorded with
the cascade. The bare side's instances lie ready; it knows no rule, no lease, no hook and no task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from fire import JOIN, after_each_trigger, fire_join, write_answered, write_asked
from measure import Pair, Scale, Subject, Target
from sessions import Manager, new_session, null_plugins

from triggers_core import (
    MemoryStorage,
    SqliteStorage,
    Status,
    TaskContext,
    TaskInstance,
    TriggerManager,
    hookimpl,
    trigger_task,
)
from triggers_core.storage import Storage, UnitOfWork
from triggers_core.task import TriggerTask
from triggers_threading import ThreadingTaskRunner

WORKERS = 4
JOINS = 20


class ThreadsManager(Manager):
    default_task_runner_name = "threading"


@trigger_task
def _do_nothing(context: TaskContext) -> None:
    """Return at once."""


class DoNothing:
    """Resolves every target to a task that returns at once."""

    @hookimpl
    def triggers_resolve_task(self, target: str) -> TriggerTask:
        return _do_nothing


def subjects(scale: Scale) -> Iterator[Subject]:
    yield joins("memory", MemoryStorage(), scale, None)
    for synchronous, target in (("FULL", Target(at_least=0.6)), ("NORMAL", None)):
        path = scale.folder / f"threads-{synchronous}.db"
        storage = SqliteStorage(path, synchronous=synchronous)
        yield joins(f"SQLite {synchronous}", storage, scale, target)
        storage.close()


def joins(name: str, storage: Storage, scale: Scale, target: Target | None) -> Subject:
    runner = ThreadingTaskRunner(max_workers=WORKERS)
    plugins = null_plugins()
    plugins.use_runner(runner)
    plugins.register(DoNothing())
    count = scale.count(JOINS)
    waiting, scheduled = after_each_trigger()

    def configured() -> list[TriggerManager]:
        return [new_session(storage, JOIN, plugins, ThreadsManager) for _ in range(count)]

    def with_the_runner() -> Callable[[], None]:
        managers = configured()

        def run() -> None:
            for manager in managers:
                fire_join(manager)
            runner.join_all()

        return run

    def bare() -> Callable[[], None]:
        uids = [manager.session_uid for manager in configured()]

        def run() -> None:
            ends = []
            with ThreadPoolExecutor(WORKERS) as pool:
                for uid in uids:
                    write_asked(storage, uid, waiting)
                    write_answered(storage, uid, scheduled)
                    ends.append(pool.submit(claim_and_finish, storage, uid))
            for end in ends:
                end.result()

        return run

    return Subject(
        f"threads, {name}",
        {"runner": with_the_runner, "bare": bare},
        [Pair("joins / the same transactions", "runner", "bare", target)],
        count=count,
        seconds=7,
    )


def claim_and_finish(storage: Storage, uid: str) -> None:
    with storage.transaction(uid, "benchmark") as unit:
        unit.save(_found(unit).to(Status.RUNNING, at=storage.now(), recover_at=storage.now() + 60))
    with storage.transaction(uid, "benchmark") as unit:
        unit.save(_found(unit).to(Status.FINISHED, at=storage.now()))
        unit.waiting_for("joined")
        unit.remember_trigger("joined", {}, at=storage.now())


def _found(unit: UnitOfWork) -> TaskInstance:
    found = unit.instance("joined", 0)
    assert found is not None, "it was written before the task was submitted"
    return found
