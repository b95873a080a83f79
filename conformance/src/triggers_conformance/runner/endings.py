"""However a task ends, that is recorded, followed by what is due, and harms no other."""

from __future__ import annotations

from triggers_conformance.bench import Bench
from triggers_conformance.rules import broken, rule
from triggers_conformance.runner.steps import check_each_ran_once, each_go, listed
from triggers_conformance.tasks import MAX_RETRIES
from triggers_core import Status

FAILURES = 40
"""More than any runner's workers by default, so that a worker lost to each is noticed."""
LEAVERS = 20
"""More than the workers of most runners; each costs some of them a process."""


class Endings:
    """Checks R9, R10, R11, R12, R13, R14, R15, R17, R18."""

    @rule("R9", mend="call triggers_core.execute, which records the end and fires the cascade")
    def test_r9_a_finished_task_fires_its_cascade(self, triggers_bench: Bench) -> None:
        """When a task finishes, what follows it runs, once, with its result as kwargs."""
        session = triggers_bench.session(
            {
                "a": {"after": ["go"], "run": "note"},
                "b": {"after": ["a"], "andEvery": "a", "run": "note"},
                "c": {"after": ["b", "a"], "andEvery": "b", "run": "note"},
            }
        )
        session.fire("go")
        check_each_ran_once(triggers_bench, session, 3)
        last = session.notes()[-1]
        followed = {name: kwargs.get("by") for name, kwargs in last.trigger_kwargs.items()}
        if followed != {"a": "a#0", "b": "b#0"}:
            broken(f"passed on {followed!r} as the results of a and b")

    @rule("R10", mend="let the task's exception reach triggers_core.execute; catch nothing before")
    def test_r10_a_failure_is_recorded(self, triggers_bench: Bench) -> None:
        """A task that raises is recorded as failed, with type, message and traceback."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "fail"}})
        session.fire("go")
        instance = session.settle()["t#0"]
        error = instance.metadata.get("error", {})
        if instance.status is not Status.FAILED:
            broken(f"left an instance whose task raised {instance.status}")
        if (error.get("type"), error.get("message")) != ("MeantToFail", "meant to fail ✗"):
            broken(f"recorded {error!r} for MeantToFail('meant to fail ✗')")
        if "in fail" not in error.get("traceback", ""):
            broken("recorded no traceback that leads to the task")

    @rule("R11", mend="fire nothing yourself; triggers_core.execute knows when there is a cascade")
    def test_r11_a_failure_has_no_cascade(self, triggers_bench: Bench) -> None:
        """What follows a task does not run when the task fails."""
        session = triggers_bench.session(
            {
                "t": {"after": ["go"], "run": "fail"},
                "follower": {"after": ["t"], "run": "note"},
            }
        )
        session.fire("go")
        session.settle()
        triggers_bench.flush()
        if "follower#0" in session.settle():
            broken("fired the cascade of a task that failed")

    @rule("R12", mend="leave the result to triggers_core.execute, which checks and keeps it")
    def test_r12_a_result_that_is_none_is_a_failure(self, triggers_bench: Bench) -> None:
        """A result that is no mapping of JSON values makes the instance failed."""
        session = triggers_bench.session(
            {
                "object": {"after": ["go"], "run": "return_object"},
                "list": {"after": ["go"], "run": "return_list"},
            }
        )
        session.fire("go")
        for instance in session.settle().values():
            if instance.status is not Status.FAILED:
                broken(f"left {instance.name} {instance.status}, whose result is not JSON kwargs")

    @rule("R13", mend="catch and log, in the worker, whatever triggers_core.execute raises")
    def test_r13_failures_do_not_keep_others_back(self, triggers_bench: Bench) -> None:
        """Tasks that raise, however many, do not keep later work from running."""
        session = triggers_bench.session(
            {**each_go("fail"), "good": {"after": ["then"], "run": "note"}}
        )
        for _ in range(FAILURES):
            session.fire("go")
        session.fire("then")
        if session.settle()["good#0"].status is not Status.FINISHED:
            broken(f"did not finish the work that came after {FAILURES} failures")

    @rule("R14", mend="catch SystemExit, in the worker, around triggers_core.execute")
    def test_r14_a_task_that_exits_ends_only_itself(self, triggers_bench: Bench) -> None:
        """A task that raises ``SystemExit`` is recorded as failed, and ends nothing else."""
        session = triggers_bench.session(
            {**each_go("leave"), "good": {"after": ["then"], "run": "note"}}
        )
        for _ in range(LEAVERS):
            session.fire("go")
        session.fire("then")
        for instance in session.settle().values():
            wanted = Status.FINISHED if instance.name == "good#0" else Status.FAILED
            if instance.status is not wanted:
                broken(f"left {instance.name} {instance.status} after a task had exited")

    @rule("R15", mend="call triggers_core.execute, which makes the clone and dispatches it")
    def test_r15_a_retry_runs_the_task_again(self, triggers_bench: Bench) -> None:
        """``context.retry()`` leaves the instance replayed, and runs its clone as attempt 2."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "retry_once"}})
        session.fire("go", cooldown=0)
        ends = {name: instance.status for name, instance in session.settle().items()}
        if ends != {"t#0": Status.REPLAYED, "t#1": Status.FINISHED}:
            broken(f"left {listed(ends)}, where t#0 replayed and t#1 finished are due")
        attempts = [note.attempt for note in session.notes()]
        if attempts != [1, 2]:
            broken(f"ran the attempts {attempts}, where 1 and 2 are due")

    @rule("R17", mend="take max_retries from the task that resolve() returns, as execute does")
    def test_r17_retries_come_to_an_end(self, triggers_bench: Bench) -> None:
        """After ``max_retries`` retries the instance is failed."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "retry_always"}})
        session.fire("go")
        ends = [instance.status for instance in session.settle().values()]
        if ends != [Status.REPLAYED] * MAX_RETRIES + [Status.FAILED]:
            broken(
                f"made {len(ends)} attempts, the last of which {ends[-1]}, for a task that always "
                f"asks for a retry and may have {MAX_RETRIES}"
            )

    @rule("R18", mend="let TaskInterruption pass: catch Exception, and no BaseException")
    def test_r18_a_task_can_skip_itself(self, triggers_bench: Bench) -> None:
        """``context.skip()`` leaves the instance skipped, with a cascade only where asked for."""
        session = triggers_bench.session(
            {
                "quiet": {"after": ["quietly"], "run": "skip"},
                "loud": {"after": ["loudly"], "run": "skip"},
                "after_quiet": {"after": ["quiet"], "run": "note"},
                "after_loud": {"after": ["loud"], "run": "note"},
            }
        )
        session.fire("quietly", cascade=False)
        session.fire("loudly", cascade=True)
        session.settle()
        ends = {name: instance.status for name, instance in session.settle().items()}
        if ends != {
            "quiet#0": Status.SKIPPED,
            "loud#0": Status.SKIPPED,
            "after_loud#0": Status.FINISHED,
        }:
            broken(f"left {listed(ends)}, where only the loud skip has a cascade")
