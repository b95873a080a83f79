"""``join_all`` waits for all work, cascades included."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from triggers_conformance.bench import Bench
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.runner.steps import BUSY, Gate, each_go, listed, workers_busy
from triggers_conformance.waiting import wait_until
from triggers_core import Status

JOIN_TIMEOUTS = (0.05, 0.4)
"""Seconds. A machine too busy for the first is given the second."""


class Waiting:
    """Checks C1, C2, C3, C4, C10, C11."""

    @rule("C1", needs="join", mend="count what is accepted, and what it dispatches in turn")
    def test_c1_join_all_waits_for_all(self, triggers_bench: Bench) -> None:
        """``join_all()`` returns once all work has ended: cascades and retries included."""
        session = triggers_bench.session(
            {
                "t": {"after": ["go"], "run": "retry_once"},
                "u": {"after": ["t"], "run": "retry_once", "withParams": {"t": {"cooldown": 0.1}}},
                "v": {"after": ["u"], "run": "note"},
            }
        )
        session.fire("go", cooldown=0.1)
        triggers_bench.in_time(
            lambda: triggers_bench.runner.join_all(timeout=triggers_bench.timeout), "join_all()"
        )
        ends = {instance.name: instance.status for instance in session.manager.instances()}
        if ends.get("v#0") is not Status.FINISHED:
            broken(f"returned from join_all() with {listed(ends)}")

    @rule("C2", needs="join", mend="raise TimeoutError, or a subclass, when the timeout is over")
    def test_c2_join_all_keeps_its_timeout(self, triggers_bench: Bench) -> None:
        """``join_all(timeout)`` raises ``TimeoutError`` at the timeout, and the work goes on."""
        if "inline" in triggers_bench.capabilities:
            not_offered("the runner declares 'inline': there is nothing to wait for")
        session = triggers_bench.session({"t": {"after": ["go"], "run": "wait_for_gate"}})
        with Gate(triggers_bench, session) as gate:
            session.fire("go", **gate.kwargs)
            session.wait_for_note("started")
            gave_up = triggers_bench.in_time(
                lambda: _raises_timeout(lambda: triggers_bench.runner.join_all(timeout=0.05)),
                "join_all(timeout=0.05)",
            )
            if not gave_up:
                broken("returned from join_all(timeout=0.05) with a task still running")
        session.settle_finished()

    @rule("C3", needs="join", mend="raise where the caller is one of the runner's own workers")
    def test_c3_join_all_in_a_task_is_an_error(self, triggers_bench: Bench) -> None:
        """``join_all()`` called by a task raises, rather than wait for that task."""
        if "remote" in triggers_bench.capabilities:
            not_offered("the runner declares 'remote': its tasks cannot reach this object")
        session = triggers_bench.session({"t": {"after": ["go"], "run": "join_own_runner"}})
        session.fire("go", runner=triggers_bench.runner_name, timeout=triggers_bench.timeout / 4)
        session.settle_finished()
        (note,) = session.notes()
        if note.said == "TimeoutError":
            broken("let a task that called join_all() wait for itself")
        if note.said == "nothing":
            broken("let join_all() return to the task that called it, which had not ended")

    @rule("C4", needs="join", mend="return at once when nothing is left, as often as called")
    def test_c4_join_all_without_work_returns(self, triggers_bench: Bench) -> None:
        """``join_all()`` returns when there is nothing to wait for, again and again."""
        session = triggers_bench.session(each_go("note"))
        for _ in range(3):
            session.fire("go")
            for _ in range(2):
                triggers_bench.in_time(triggers_bench.runner.join_all, "join_all()")
        session.settle_finished()

    @rule("C10", needs="join", mend="count down from one deadline, however much is waited for")
    def test_c10_the_timeout_is_for_all_of_it(self, triggers_bench: Bench) -> None:
        """``join_all(timeout)`` waits that long in all, however much work is left."""
        with workers_busy(triggers_bench) as busy:
            wait_until(lambda: busy.notes("started"), triggers_bench.timeout)
            for timeout in JOIN_TIMEOUTS:
                begin = time.monotonic()
                join_all = partial(triggers_bench.runner.join_all, timeout=timeout)
                triggers_bench.in_time(
                    partial(_raises_timeout, join_all), f"join_all(timeout={timeout})"
                )
                seconds = time.monotonic() - begin
                if seconds < BUSY * timeout / 2:
                    return
        broken(f"returned from join_all(timeout={timeout}) after {seconds:.1f} s")

    @rule("C11", needs="join", mend="record or log what work raises; join_all() only waits")
    def test_c11_join_all_raises_nothing_of_the_works(self, triggers_bench: Bench) -> None:
        """``join_all()`` returns when all has ended, however it has: failed, or gone."""
        session = triggers_bench.session(
            {"failed": {"after": ["go"], "run": "fail"}, "left": {"after": ["go"], "run": "leave"}}
        )
        session.fire("go")
        (failed, _) = session.settle().values()
        triggers_bench.in_time(triggers_bench.runner.join_all, "join_all() after failures")
        with suppress(Exception):
            triggers_bench.runner.run(session.manager, replace(failed, number=failed.number + 1))
        triggers_bench.in_time(triggers_bench.runner.join_all, "join_all()")


def _raises_timeout(function: Callable[[], object]) -> bool:
    try:
        function()
    except TimeoutError:
        return True
    return False
