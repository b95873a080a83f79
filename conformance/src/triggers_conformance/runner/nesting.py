"""Work that a task starts is work like any other, and does not wait for that task."""

from __future__ import annotations

from triggers_conformance.bench import Bench
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.runner.steps import Gate, check_not_inline, each_go
from triggers_conformance.waiting import wait_until

LOOK_SECONDS = 0.5


class Nesting:
    """Checks R48, R49."""

    @rule("R48", mend="in run(), do not execute at once because the caller is a worker of yours")
    def test_r48_a_task_does_not_wait_for_what_it_fires(self, triggers_bench: Bench) -> None:
        """``run`` returns before the task ends where a task calls it, too."""
        check_not_inline(triggers_bench, "a task waits for what it fires")
        session = triggers_bench.session(
            {
                "t": {"after": ["go"], "run": "fire_more"},
                "follower": {"after": ["more"], "run": "wait_for_gate"},
            }
        )
        with Gate(triggers_bench, session) as gate:
            session.fire("go", more=gate.kwargs)
            session.wait_for_note("fired")
            if session.notes("ended"):
                broken("returned from run(), called by a task, only after the other had ended")
        session.settle_finished()

    @rule("R49", mend="in run(), hand the work on at once, and not when the caller's task ends")
    def test_r49_what_a_task_fires_starts_while_it_runs(self, triggers_bench: Bench) -> None:
        """What a task fires starts while that task runs, where tasks run side by side."""
        check_not_inline(triggers_bench, "a task waits for what it fires")
        _check_side_by_side(triggers_bench)
        session = triggers_bench.session(
            {
                "t": {"after": ["go"], "run": "fire_and_wait"},
                "follower": {"after": ["more"], "run": "note"},
            }
        )
        session.fire("go", timeout=triggers_bench.timeout / 2)
        session.settle()
        if not session.notes("met"):
            broken("did not start what a task had fired while that task ran")


def _check_side_by_side(bench: Bench) -> None:
    session = bench.session(each_go("wait_for_gate"))
    with Gate(bench, session) as gate:
        for _ in range(2):
            session.fire("go", **gate.kwargs)
        is_side_by_side = wait_until(lambda: len(session.notes("started")) > 1, LOOK_SECONDS)
    session.settle()
    if not is_side_by_side:
        not_offered("it does not run two tasks of a session at once")
