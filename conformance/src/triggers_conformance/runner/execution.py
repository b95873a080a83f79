"""Each instance runs once: its own task, in its own session, with its own kwargs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest import mock

from triggers_conformance import tasks as check_tasks
from triggers_conformance.bench import Bench, Session
from triggers_conformance.probes import ExecutionSpy, public_only
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.runner.steps import (
    FIRES_PER_THREAD,
    each_go,
    held_instances,
    listed,
)
from triggers_conformance.waiting import call_within
from triggers_core import DispatchError, InvalidKwargs, Status, execute

HUGE = 1_000_000
UNLIKELY_KWARGS: Mapping[str, Any] = {
    "ключ": "значение",
    "emoji": "🎉 👩‍👩‍👧‍👦",
    "right to left": "שלום",
    "control": "\x00\x1f\x7f\r\n\t",
    "quotes": "'\"\\`${}%s{{}}",
    "empty": ["", {}, [], None],
    "numbers": [0, -1, 2**63, 10**30, 0.1, 1e300, -0.0, True, False],
    "deep": [[[[[[[[{"a": {"b": {"c": [{}]}}}]]]]]]]],
    "": "no name",
    "self": "a name that functions use",
    "run": {"manager": "too", "task_instance": "too"},
}


class Execution:
    """Checks R4, R5, R6, R8, R21, R22, R28, R29, R31, R33, R34."""

    @rule("R4", mend="pass on the very instance that run() was given; keep no 'current' one")
    def test_r4_the_task_runs_for_its_own_instance(self, triggers_bench: Bench) -> None:
        """The context has the instance that was dispatched, with its session and attempt."""
        session = triggers_bench.session(each_go("note"))
        for number in range(FIRES_PER_THREAD):
            session.fire("go", number=number)
        instances = session.settle_finished()
        for note in session.notes():
            told = (note.session_uid, note.attempt)
            if told != (session.manager.session_uid, 1) or note.instance_name not in instances:
                broken(
                    f"ran a task with the context of {note.instance_name}, attempt {note.attempt}, "
                    f"of the session {note.session_uid!r}"
                )
            wanted = instances[note.instance_name].trigger_kwargs["go"]["number"]
            if note.trigger_kwargs["go"]["number"] != wanted:
                broken(f"ran {note.instance_name} with the kwargs of another instance")

    @rule("R5", mend="call triggers_core.execute, which makes the context and its kwargs")
    def test_r5_the_task_gets_its_kwargs(self, triggers_bench: Bench) -> None:
        """The task gets what was fired, merged over the configuration's ``withParams``."""
        session = triggers_bench.session(
            {
                "t": {
                    "after": ["go", "set"],
                    "run": "note",
                    "withParams": {
                        "go": {"deep": {"default": 1, "fired": 0}, "list": [1, 2, 3]},
                        "extra": {"only": "in the configuration"},
                    },
                }
            }
        )
        session.fire("go", deep={"fired": 2}, list=[4])
        session.fire("set", value=None)
        session.settle_finished()
        notes = str(session.folder)
        _check_kwargs(
            session,
            {
                "go": {"notes": notes, "deep": {"default": 1, "fired": 2}, "list": [4]},
                "set": {"notes": notes, "value": None},
                "extra": {"only": "in the configuration"},
            },
        )

    @rule("R6", mend="make the kwargs anew for each execution, as triggers_core.execute does")
    def test_r6_the_task_gets_a_copy_of_its_own(self, triggers_bench: Bench) -> None:
        """What a task does to its kwargs is seen by nobody else."""
        session = triggers_bench.session(
            {
                "t": {
                    "after": ["go"],
                    "andEvery": "go",
                    "run": "change_kwargs",
                    "withParams": {"go": {"deep": {}}, "extra": {"list": []}},
                }
            }
        )
        for _ in range(2):
            session.fire("go", fired=[])
            session.settle_finished()
        notes = str(session.folder)
        _check_kwargs(
            session, {"go": {"notes": notes, "fired": [], "deep": {}}, "extra": {"list": []}}
        )
        for instance in session.manager.instances():
            if instance.trigger_kwargs != {"go": {"notes": notes, "fired": []}}:
                broken(f"let the task change {instance.name} in the store")

    @rule("R8", mend="pass resolve=self.resolve to triggers_core.execute")
    def test_r8_the_task_run_is_the_one_configured(self, triggers_bench: Bench) -> None:
        """The task that runs is the one that ``run`` names, whatever the task is called."""
        session = triggers_bench.session(
            {
                "note": {"after": ["go"], "run": "note_otherwise"},
                "note_otherwise": {"after": ["go"], "run": "note"},
            }
        )
        session.fire("go")
        session.settle_finished()
        for note in session.notes():
            if note.instance_name == f"{note.step}#0":
                broken(f"ran {note.step} for the task {note.instance_name[:-2]!r}")

    @rule("R21", mend="send a reference, or encode kwargs as UTF-8 JSON and lose nothing")
    def test_r21_unlikely_kwargs_arrive(self, triggers_bench: Bench) -> None:
        """Kwargs arrive as they were fired, whatever JSON values they are."""
        session = triggers_bench.session({"t": {"after": ["gö 🚀"], "run": "note"}})
        session.fire("gö 🚀", kwargs=dict(UNLIKELY_KWARGS))
        session.settle_finished()
        _check_kwargs(
            session,
            {"gö 🚀": {"notes": str(session.folder), "kwargs": dict(UNLIKELY_KWARGS)}},
        )

    @rule("R22", mend="send a reference, so that the size of kwargs is no matter")
    def test_r22_huge_kwargs_arrive(self, triggers_bench: Bench) -> None:
        """Kwargs of a megabyte arrive whole."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "note"}})
        session.fire("go", text="é" * HUGE)
        session.settle_finished()
        (note,) = session.notes()
        length = len(note.trigger_kwargs["go"].get("text", ""))
        if length != HUGE:
            broken(f"delivered {length} of {HUGE} characters")

    @rule("R28", mend="let TaskNotFound reach triggers_core.execute, or raise it in run()")
    def test_r28_an_unknown_task_is_an_error(self, triggers_bench: Bench) -> None:
        """A ``run`` target that leads nowhere is an error of the fire or of the instance."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "no_such_task"}})
        try:
            call_within(triggers_bench.timeout, lambda: session.fire_unwatched("go"))
        except DispatchError:
            return
        instance = session.settle()["t#0"]
        error = instance.metadata.get("error", {})
        if instance.status is not Status.FAILED or "no_such_task" not in error.get("message", ""):
            broken(
                f"left the instance {instance.status}, with the error {error.get('message')!r}, "
                "where the missing task is to be named"
            )

    @rule("R29", mend="use what the documentation of TriggerManager lists, and no _private names")
    def test_r29_it_uses_the_managers_public_names_only(self, triggers_bench: Bench) -> None:
        """The runner needs no private attribute of the manager."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "note"}})
        (instance,) = held_instances(session, "go", 1)
        touched = public_only(session.manager)
        try:
            session.dispatch(instance)
            session.settle_finished()
        finally:
            if touched:
                broken(f"used {listed(touched)} of the manager")

    @rule("R31", mend="execute with the manager that run() is given, and so with its plugins")
    def test_r31_the_plugins_take_part(self, triggers_bench: Bench) -> None:
        """The task runs through the hook ``triggers_execute`` of the manager's plugins."""
        if "remote" in triggers_bench.capabilities:
            not_offered("the runner declares 'remote': its workers have plugins of their own")
        session = triggers_bench.session(each_go("note"))
        spy = ExecutionSpy()
        triggers_bench.plugins.register(spy)
        try:
            session.fire("go")
            session.settle_finished()
        finally:
            triggers_bench.plugins.unregister(spy)
        if spy.names != ["t#0"]:
            broken("ran a task that no plugin was asked about")

    @rule("R33", mend="give the task the manager itself, whose fire checks its kwargs")
    def test_r33_kwargs_that_are_none_reach_no_task(self, triggers_bench: Bench) -> None:
        """Kwargs that JSON has no form for are an error of the task that fires them."""
        session = triggers_bench.session(
            {
                "t": {"after": ["go"], "run": "fire_object"},
                "follower": {"after": ["more"], "run": "note"},
            }
        )
        session.fire("go")
        instances = session.settle()
        error = instances["t#0"].metadata.get("error", {})
        if error.get("type") != InvalidKwargs.__name__:
            broken(f"left a task that fired an object() {instances['t#0'].status}, {error!r}")
        if "follower#0" in instances:
            broken("passed on kwargs that a task made of an object()")

    @rule("R34", mend="pass resolve=self.resolve to triggers_core.execute; find tasks nowhere else")
    def test_r34_what_resolve_returns_is_what_runs(self, triggers_bench: Bench) -> None:
        """What ``resolve`` returns is what runs, wherever it is executed."""
        for run in ("note", "fail", "skip"):
            _check_ends_alike(triggers_bench, run)
        if "remote" not in triggers_bench.capabilities:  # whose workers have runners of their own
            _check_runs_what_is_resolved(triggers_bench)


def _check_kwargs(session: Session, wanted: Mapping[str, Any]) -> None:
    for note in session.notes():
        if note.trigger_kwargs != wanted:
            broken(f"gave {note.instance_name} {note.trigger_kwargs!r}, where {wanted!r} is due")


def _check_ends_alike(bench: Bench, run: str) -> None:
    """Have the runner take an instance, and execute another here, with the runner's resolve."""
    session = bench.session(each_go(run))
    session.fire("go", cascade=False)
    session.settle()
    (instance,) = held_instances(session, "go", 1, cascade=False)
    manager, resolve = session.manager, bench.runner.resolve
    bench.in_time(lambda: execute(manager, instance, resolve=resolve), "execute(…, resolve)")
    taken, here = (_end_of(session, name) for name in ("t#0", "t#1"))
    if taken != here:
        broken(f"ended {taken} for {run!r}, and what resolve() returns ends {here}")


def _end_of(session: Session, name: str) -> tuple[str, str | None, list[str]]:
    instance = session.manager.instance(name)
    steps = [note.step for note in session.notes() if note.instance_name == name]
    return str(instance.status), instance.metadata.get("error", {}).get("type"), steps


def _check_runs_what_is_resolved(bench: Bench) -> None:
    """Have ``resolve`` return another task, as a subclass' does that finds tasks elsewhere."""
    session = bench.session(each_go("note"))
    other = f"{check_tasks.__name__}.note_otherwise"
    with mock.patch.object(bench.runner, "resolve", return_value=check_tasks.TASKS[other]):
        session.fire("go")
        session.settle_finished()
    if [note.step for note in session.notes()] != ["note_otherwise"]:
        broken("ran another task than the one that its resolve() returned")
