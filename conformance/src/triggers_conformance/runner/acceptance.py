"""The first look: the runner takes work, and runs it, in any session.

Where it does not, nothing else can be said of it.
"""

from __future__ import annotations

from triggers_conformance.bench import Bench
from triggers_conformance.rules import broken, rule
from triggers_conformance.runner.steps import (
    FIRES_PER_THREAD,
    check_each_ran_once,
    check_runs,
    each_go,
    held_instances,
)


class Acceptance:
    """Checks R1, R2, R30."""

    @rule("R1", mend="define run(self, manager, task_instance) with these very names")
    def test_r1_run_takes_a_manager_and_an_instance(self, triggers_bench: Bench) -> None:
        """``run`` accepts ``(manager, task_instance)``, by position and by keyword."""
        session, runner = triggers_bench.first_session, triggers_bench.runner
        by_position, by_keyword = held_instances(session, "go", 2)
        triggers_bench.in_time(
            lambda: runner.run(session.manager, by_position), "run(manager, instance)"
        )
        triggers_bench.in_time(
            lambda: runner.run(manager=session.manager, task_instance=by_keyword),
            "run(manager=…, task_instance=…)",
        )
        ended = triggers_bench.ended_soon(session)
        if by_keyword.name in ended and by_position.name not in ended:
            broken("ran what run() was given by keyword, and not what it was given by position")

    @rule("R2", mend="call triggers_core.execute once for each instance that run() is given")
    def test_r2_each_instance_is_executed_once(self, triggers_bench: Bench) -> None:
        """Every instance handed to ``run`` is executed, and once only."""
        session = triggers_bench.first_session
        before = len(session.manager.instances())
        for _ in range(FIRES_PER_THREAD):
            session.fire("go")
        instances = session.settle_finished()
        if len(instances) != before + FIRES_PER_THREAD:
            broken(f"made {len(instances) - before} instances of {FIRES_PER_THREAD} triggers")
        triggers_bench.flush(session)
        check_runs(session, instances)

    @rule("R30", mend="use the manager that run() is given; keep none from an earlier call")
    def test_r30_each_instance_runs_in_its_own_session(self, triggers_bench: Bench) -> None:
        """Sessions that run at the same time do not mix."""
        sessions = [triggers_bench.session(each_go("note")) for _ in range(3)]
        for _ in range(3):
            for session in sessions:
                session.fire("go")
        for session in sessions:
            check_each_ran_once(triggers_bench, session, 3)
