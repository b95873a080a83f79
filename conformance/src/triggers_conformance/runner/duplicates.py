"""What is running or has ended is not run again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from triggers_conformance.bench import Bench
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.runner.steps import (
    FIRES_PER_THREAD,
    Gate,
    check_each_ran_once,
    each_go,
    held_instances,
    listed,
)
from triggers_conformance.waiting import wait_until
from triggers_core import Status
from triggers_core.recovery import take_over

DELIVERIES = 3
RECOVERIES = 3


class Duplicates:
    """Checks R26, R27, R36, C9."""

    @rule("R26", mend="call triggers_core.execute, which claims an instance before it runs it")
    def test_r26_what_has_ended_is_not_run_again(self, triggers_bench: Bench) -> None:
        """An instance that has ended and is dispatched again is dropped."""
        session = triggers_bench.session(
            {
                "finished": {"after": ["go"], "run": "note"},
                "failed": {"after": ["go"], "run": "fail"},
                "skipped": {"after": ["go"], "run": "skip"},
                "replayed": {"after": ["go"], "run": "retry_once"},
                "abandoned": {"after": ["go"], "unless": ["set"], "run": "note"},
                "given_up": {"after": ["later"], "run": "note"},
            }
        )
        session.fire("set")
        session.fire("go", cooldown=0, cascade=False)
        session.settle()
        (given_up,) = held_instances(session, "later", 1)
        session.manager.abandon_instance(given_up, reason="its message is still under way")
        ended = session.settle()
        ran = len(session.notes())
        for instance in ended.values():
            session.dispatch(instance)
            session.dispatch(replace(instance, status=Status.SCHEDULED))
        triggers_bench.flush()
        again = [note.instance_name for note in session.notes()[ran:]]
        if again:
            broken(f"ran {listed(again)} again, which had ended")
        changed = {
            name for name, instance in session.settle().items() if instance != ended.get(name)
        }
        if changed:
            broken(f"changed {listed(changed)}, which had ended")

    @rule("R27", mend="call triggers_core.execute, which claims an instance before it runs it")
    def test_r27_what_is_running_is_not_run_twice(self, triggers_bench: Bench) -> None:
        """An instance that is running and is dispatched again is dropped."""
        if "inline" in triggers_bench.capabilities:
            not_offered("the runner declares 'inline': nothing is running when run() returns")
        session = triggers_bench.session({"t": {"after": ["go"], "run": "wait_for_gate"}})
        with Gate(triggers_bench, session) as gate:
            session.fire("go", **gate.kwargs)
            session.wait_for_note("started")
            (instance,) = session.manager.instances()
            for _ in range(2):
                session.dispatch(replace(instance, status=Status.SCHEDULED))
            triggers_bench.flush_if_free()
        session.settle_finished()
        triggers_bench.flush()
        starts = len(session.notes("started"))
        if starts != 1:
            broken(f"started {starts} executions of one instance, dispatched again as it ran")

    @rule(
        "R36", mend="remember nothing of what was dispatched; the claim drops what is a duplicate"
    )
    def test_r36_what_was_lost_runs_when_it_is_sent_again(self, triggers_bench: Bench) -> None:
        """Work that came to nothing runs when recovery dispatches the same attempt again."""
        session = triggers_bench.session({"t": {"after": ["go", "then"], "run": "note"}})
        session.fire("go")
        # Lost, as far as the runner can tell: it is not due yet, so whoever executes it drops it.
        (early,) = session.manager.instances()
        session.dispatch(replace(early, status=Status.SCHEDULED, waits_for=frozenset()))
        triggers_bench.flush()
        (instance,) = held_instances(session, "then", 1)
        for _ in range(RECOVERIES):
            recover = partial(take_over, session.manager, instance)
            triggers_bench.in_time(recover, "recovery")
            wait_until(lambda: session.notes("note"), triggers_bench.timeout / RECOVERIES)
            if session.notes("note"):
                break
            (instance,) = session.manager.instances()
        else:
            broken(
                f"did not run {instance.name}, attempt 1, which was lost and that recovery "
                f"dispatched again, {RECOVERIES} times"
            )
        check_each_ran_once(triggers_bench, session, 1)

    @rule("C9", needs="remote", mend="drop, in the worker, what triggers_core.execute drops")
    def test_c9_a_duplicate_is_harmless(self, triggers_bench: Bench) -> None:
        """A message that is delivered several times runs its task once, and the worker goes on."""
        session = triggers_bench.session(each_go("note"))
        instances = held_instances(session, "go", FIRES_PER_THREAD)
        for instance in instances:
            for _ in range(DELIVERIES):
                session.dispatch(instance)
        check_each_ran_once(triggers_bench, session, FIRES_PER_THREAD)
