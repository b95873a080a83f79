"""``run`` accepts work: all of it, from anywhere, and returns; or it raises."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import fields

from triggers_conformance.bench import Bench
from triggers_conformance.probes import Elsewhere
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.runner.steps import (
    FIRES_PER_THREAD,
    Gate,
    check_each_ran_once,
    check_runs,
    each_go,
    held_instances,
    listed,
)
from triggers_conformance.waiting import DeadlinePassed, call_within
from triggers_core import Status

MANY = 100
THREADS = 8


class Dispatch:
    """Checks R3, R7, R19, R20, R23, R24, R25, R32."""

    @rule(
        "R3",
        mend="in run(), hand the work to your engine and return; or declare 'inline'",
    )
    def test_r3_run_returns_before_the_task_ends(self, triggers_bench: Bench) -> None:
        """``run`` returns before the task ends, unless the runner declares ``inline``."""
        if "inline" in triggers_bench.capabilities:
            not_offered("the runner declares 'inline'")
        session = triggers_bench.session({"t": {"after": ["go"], "run": "wait_for_gate"}})
        with Gate(triggers_bench, session) as gate:
            session.fire("go", **gate.kwargs)
            session.wait_for_note("started")
            if session.notes("ended"):
                broken("returned from run() only after its task had ended")
        session.settle_finished()

    @rule("R7", mend="treat the instance that run() is given as read only")
    def test_r7_run_changes_nothing_of_the_instance(self, triggers_bench: Bench) -> None:
        """``run`` leaves the instance that it is given as it is."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "change_kwargs"}})
        (instance,) = held_instances(session, "go", 1, deep={"list": [1]})
        before = copy.deepcopy(instance)
        session.dispatch(instance)
        session.settle_finished()
        changed = [
            field.name
            for field in fields(instance)
            if getattr(instance, field.name) != getattr(before, field.name)
        ]
        if changed:
            broken(f"changed {listed(changed)} of the instance that run() was given")

    @rule("R19", mend="run nothing but what run() is given; execute dispatches the cascade")
    def test_r19_other_runners_get_their_own_work(self, triggers_bench: Bench) -> None:
        """A task that is ``using`` another runner goes there, and back again."""
        elsewhere = Elsewhere.of(triggers_bench.plugins)
        session = triggers_bench.session(
            {
                "here": {"after": ["go"], "run": "note"},
                "there": {"after": ["go"], "run": "note", "using": Elsewhere.name},
                "back": {"after": ["there"], "run": "note"},
            }
        )
        wanted = {"there#0"}
        if "remote" not in triggers_bench.capabilities:
            # A worker process does not know the other runner, so no cascade there leads to it.
            session.configure({"next": {"after": ["here"], "run": "note", "using": Elsewhere.name}})
            wanted.add("next#0")
        session.fire("go")
        session.settle_finished()
        came = elsewhere.instances(session.manager.session_uid)
        if came != wanted:
            broken(f"left {listed(came) or 'nothing'} to the other runner, not {listed(wanted)}")

    @rule("R20", mend="let what your engine raises when it takes no work out of run()")
    def test_r20_refused_work_is_an_error(self, triggers_bench: Bench) -> None:
        """Where the engine does not take the work, ``run`` raises, so that it can be recovered."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "note"}})
        (instance,) = held_instances(session, "go", 1)
        with triggers_bench.conformance.refusing(triggers_bench.runner):
            try:
                call_within(
                    triggers_bench.timeout,
                    lambda: triggers_bench.runner.run(
                        manager=session.manager, task_instance=instance
                    ),
                )
            except DeadlinePassed:
                broken(f"did not return from run() within {triggers_bench.timeout:g} s")
            except Exception:
                return
        broken("returned from run() as if it had accepted the work, which the engine refused")

    @rule("R23", mend="queue without a bound, or raise when the queue is full")
    def test_r23_many_at_once_all_run(self, triggers_bench: Bench) -> None:
        """Of many instances that become ready at once, each is executed, and once only."""
        run = "note" if "inline" in triggers_bench.capabilities else "wait_for_gate"
        session = triggers_bench.session(
            {f"t{number}": {"after": ["go"], "run": run} for number in range(MANY)}
        )
        with Gate(triggers_bench, session) as gate:
            session.fire("go", **gate.kwargs)
        instances = session.settle_finished()
        triggers_bench.flush()
        check_runs(session, instances)

    @rule(
        "R24",
        mend="keep nothing of one call on self where another call can see it",
        presumes="R23",
    )
    def test_r24_run_is_called_from_many_threads(self, triggers_bench: Bench) -> None:
        """``run`` may be called from any number of threads at once."""
        session = triggers_bench.session(each_go("note"))
        start = threading.Barrier(THREADS)

        def fire_several() -> None:
            start.wait()
            for _ in range(FIRES_PER_THREAD):
                session.fire_unwatched("go")

        triggers_bench.in_time(lambda: in_threads(fire_several), f"fires from {THREADS} threads")
        check_each_ran_once(triggers_bench, session, THREADS * FIRES_PER_THREAD)

    @rule(
        "R25",
        mend="do not block in run(): the task that waits for a free worker may be one",
        presumes="R23",
    )
    def test_r25_a_task_can_start_many_others(self, triggers_bench: Bench) -> None:
        """A task fires triggers through ``context.manager``, and what they start runs."""
        session = triggers_bench.session(
            {
                "t": {"after": ["go"], "run": "start_many"},
                "follower": {"after": ["more"], "andEvery": "more", "run": "note"},
            }
        )
        session.fire("go", count=MANY)
        if len(session.settle_finished()) != MANY + 1:
            broken(f"did not run all {MANY} instances that a task started")

    @rule("R32", mend="execute whatever run() is given, clones of a replay by hand included")
    def test_r32_a_replay_by_hand_runs(self, triggers_bench: Bench) -> None:
        """A failed instance that is replayed by hand runs again, with the kwargs replaced."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "fail"}})
        session.fire("go")
        session.settle()
        session.configure({"t": {"after": ["go"], "run": "note"}})
        triggers_bench.in_time(
            lambda: session.manager.replay_failed_instance(
                "t#0", {"go": {"notes": str(session.folder), "mended": True}}
            ),
            "replay_failed_instance('t#0')",
        )
        clone = session.settle()["t#1"]
        notes = session.notes("note")
        if clone.status is not Status.FINISHED or not notes:
            broken(f"left the clone {clone.status}")
        if not notes[0].trigger_kwargs["go"].get("mended"):
            broken("ran the clone with the kwargs of the instance that it replays")


def in_threads(function: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
