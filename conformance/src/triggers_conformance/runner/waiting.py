"""``join_all`` waits for all work, cascades included."""

from __future__ import annotations

from collections.abc import Callable

from triggers_conformance.bench import Bench
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.runner.steps import Gate, each_go, listed
from triggers_core import Status


class Waiting:
    """Checks C1, C2, C3, C4."""

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


def _raises_timeout(function: Callable[[], object]) -> bool:
    try:
        function()
    except TimeoutError:
        return True
    return False
