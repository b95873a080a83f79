"""Whoever calls ``run``, and however soon it is gone: what it accepted is executed."""

from __future__ import annotations

import asyncio
import gc
import threading
import uuid
from typing import Any

from triggers_conformance.bench import Bench, Session
from triggers_conformance.rules import rule
from triggers_conformance.runner.dispatch import THREADS, in_threads
from triggers_conformance.runner.steps import (
    another_runner,
    check_each_ran_once,
    each_go,
    held_instances,
    workers_busy,
)
from triggers_core import TaskInstance

LOOPS = 3
NEW_RUNNERS = 5


class Callers:
    """Checks R50, R51, R52."""

    @rule("R50", mend="use neither asyncio.run() nor the caller's loop; have a loop of your own")
    def test_r50_run_is_called_in_an_event_loop(self, triggers_bench: Bench) -> None:
        """``run`` may be called in a running event loop, whose end is not the work's end."""
        session = triggers_bench.session(each_go("note"))

        async def fire() -> None:
            session.fire_unwatched("go")

        for _ in range(LOOPS):
            triggers_bench.in_time(lambda: asyncio.run(fire()), "fire('go') in an event loop")
        check_each_ran_once(triggers_bench, session, LOOPS)

    @rule("R51", mend="start your engine under a lock, or in __init__ where it costs nothing")
    def test_r51_the_first_calls_come_at_once(self, triggers_bench: Bench) -> None:
        """The first calls of a new runner's ``run`` may come from many threads at once."""
        session = triggers_bench.session(each_go("note"))
        for _ in range(NEW_RUNNERS):
            _run_at_once(triggers_bench, session)
        check_each_ran_once(triggers_bench, session, NEW_RUNNERS * THREADS)

    @rule("R52", mend="keep a reference to the manager and to your future or task until it ran")
    def test_r52_nobody_else_keeps_what_is_dispatched(self, triggers_bench: Bench) -> None:
        """What ``run`` accepts is executed though the caller keeps no reference to any of it."""
        uid = f"session-{uuid.uuid4()}"
        session = _session_of(triggers_bench, uid, each_go("note"))
        with workers_busy(triggers_bench):
            for _ in range(THREADS):
                _session_of(triggers_bench, uid, each_go("note"), session).fire("go")
            gc.collect()
        check_each_ran_once(triggers_bench, session, THREADS)


def _run_at_once(bench: Bench, session: Session) -> None:
    runner = another_runner(bench)
    instances = held_instances(session, "go", THREADS)
    start = threading.Barrier(THREADS)

    def run_next() -> None:
        instance = _taken_from(instances)
        start.wait()
        runner.run(manager=session.manager, task_instance=instance)

    bench.in_time(lambda: in_threads(run_next), f"run(), called from {THREADS} threads")
    session.settle()
    if callable(close := getattr(runner, "close", None)):
        bench.in_time(close, "close()")


def _taken_from(instances: list[TaskInstance]) -> TaskInstance:
    return instances.pop()


def _session_of(bench: Bench, uid: str, tasks: Any, like: Session | None = None) -> Session:
    manager = bench.conformance.make_manager(uid, bench.storage, bench.plugins)
    session = bench.session_at(manager, tasks)
    if like is not None:
        session.folder = like.folder
    return session
