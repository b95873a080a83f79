"""Whatever is raised, and wherever, ends the work that raised it and nothing else."""

from __future__ import annotations

from dataclasses import replace

from triggers_conformance.bench import Bench, Session
from triggers_conformance.odd import ENDINGS, ODD
from triggers_conformance.rules import broken, rule
from triggers_conformance.runner.steps import BUSY, each_go, held_instances, workers_busy
from triggers_conformance.waiting import DeadlinePassed, call_within
from triggers_core import Status, TaskInstance

LEAVERS = 40
"""More than any runner's workers by default, so that a worker lost to each is noticed."""
NOWHERE = 1_000_000
"""The first of the numbers that no instance has."""


class Harm:
    """Checks R43, R44, R45."""

    @rule("R43", mend="leave exceptions to triggers_core.execute: do not pickle or format them")
    def test_r43_any_exception_is_recorded(self, triggers_bench: Bench) -> None:
        """Whatever a task raises is recorded as it is: what cannot be pickled or shown, too."""
        session = triggers_bench.session(
            {
                name: {
                    "after": ["go"],
                    "run": "raise_odd",
                    "withParams": {"odd": {"kind": name}},
                }
                for name in ODD
            }
        )
        session.fire("go")
        for instance in session.settle().values():
            recorded = instance.metadata.get("error", {}).get("type")
            if (instance.status, recorded) != (Status.FAILED, instance.task_name):
                broken(
                    f"left a task that raised {instance.task_name} {instance.status}, and recorded "
                    f"{recorded}"
                )

    @rule("R44", mend="catch BaseException, in the worker, around triggers_core.execute")
    def test_r44_no_exception_ends_a_worker(self, triggers_bench: Bench) -> None:
        """``CancelledError``, ``GeneratorExit`` and their like end the task, and no other work."""
        # Whoever interrupts a program or its worker by Ctrl-C is to end it.
        interrupted = {"remote", "inline"} & triggers_bench.capabilities
        for kind in ENDINGS:
            if kind == KeyboardInterrupt.__name__ and interrupted:
                continue
            session = triggers_bench.session(
                {
                    f"t{number}": {
                        "after": ["go"],
                        "run": "raise_odd",
                        "withParams": {"odd": {"kind": kind}},
                    }
                    for number in range(LEAVERS)
                }
            )
            session.configure({"good": {"after": ["then"], "run": "note"}})
            session.fire("go")
            session.fire("then")
            for instance in session.settle().values():
                wanted = Status.FINISHED if instance.name == "good#0" else Status.FAILED
                if instance.status is not wanted:
                    broken(f"left {instance.name} {instance.status} after tasks had raised {kind}")

    @rule("R45", mend="catch what triggers_core.execute raises around each single call of it")
    def test_r45_work_that_is_gone_ends_no_other(self, triggers_bench: Bench) -> None:
        """Work whose instance is gone when its turn comes, however much, ends nothing else."""
        session = triggers_bench.session(each_go("note"))
        (instance,) = held_instances(session, "go", 1)
        with workers_busy(triggers_bench):
            for number in range(BUSY):
                gone = replace(instance, number=NOWHERE + number)
                _dispatch_if_taken(triggers_bench, session, gone)
                session.fire("go")
            session.dispatch(instance)
        session.settle_finished()


def _dispatch_if_taken(bench: Bench, session: Session, instance: TaskInstance) -> None:
    try:
        call_within(
            bench.timeout, lambda: bench.runner.run(manager=session.manager, task_instance=instance)
        )
    except DeadlinePassed:
        broken(f"did not return from run() within {bench.timeout:g} s for an instance that is gone")
    except Exception:
        return  # it looked first, and did not take the work
