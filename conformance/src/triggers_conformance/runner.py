"""The contract of a task runner, as numbered checks that its author runs by a subclass::

    class TestCustomRunner(RunnerConformance):
        runner_name = "custom_runner"

Groups: N name, G registration, R run, C capabilities (each binds who declares it), M a model.
"""

from __future__ import annotations

import copy
import inspect
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

from triggers_conformance.bench import Bench, Session, sqlite_url
from triggers_conformance.machine import check_against_model
from triggers_conformance.probes import (
    Elsewhere,
    ExecutionSpy,
    SealedInstance,
    SealedKwargs,
    public_only,
)
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.tasks import MAX_RETRIES
from triggers_conformance.waiting import DeadlinePassed, call_within, wait_until
from triggers_core import (
    BaseTaskRunner,
    DispatchError,
    InvalidKwargs,
    InvalidName,
    Plugins,
    SqliteStorage,
    Status,
    Storage,
    TaskInstance,
    TriggerManager,
)
from triggers_core.rules.names import check_name

DEFAULT_TIMEOUT = 60.0
CAPABILITIES = frozenset({"join", "cooldown", "remote", "inline"})
MANY = 100
THREADS = 8
FIRES_PER_THREAD = 10
FAILURES = 40
"""More than any runner's workers by default, so that a worker lost to each is noticed."""
LEAVERS = 4
DELIVERIES = 3
WAITING = 40
COOLDOWN = 0.5
LONG_COOLDOWNS = (4.0, 16.0)
"""Seconds. A machine too busy for the first is given the second."""
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


class RunnerConformance:
    """The checks of one runner. Subclass it, name the runner, and pytest collects them.

    Attributes:
        runner_name: what the runner is registered as.
        runner_class: the class, where it has no entry point (yet).
        timeout: seconds for each single thing waited for; the option ``--triggers-timeout``
            overrides it. It costs nothing while all is well.
        examples: random sessions that check M1 runs.
    """

    runner_name: ClassVar[str]
    runner_class: ClassVar[type[BaseTaskRunner] | None] = None
    timeout: ClassVar[float] = DEFAULT_TIMEOUT
    examples: ClassVar[int] = 30

    # What an engine with its own worker, broker or application overrides:

    def worker(
        self, folder: Path, environment: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        """Return a context manager that keeps the engine's worker running.

        Entered once for all checks, before the runner is built; left after the last.

        Args:
            folder: empty, the engine's own to use.
            environment: what worker processes need on top of ``os.environ`` to find the store.
        """
        return nullcontext()

    def storage_url(self, folder: Path) -> str:
        """Return where the sessions are kept; a store that this process and the worker reach."""
        return sqlite_url(folder)

    def open_storage(self, url: str, plugins: Plugins) -> Storage:
        """Return that store, open in the process that fires."""
        storage = plugins.open_storage(url)
        if isinstance(storage, SqliteStorage):
            # It is thrown away after the checks, so it need not outlive a power failure.
            return SqliteStorage(storage.path, synchronous="NORMAL")
        return storage

    def make_plugins(self) -> Plugins:
        """Return the plugins of the process that fires: all entry points, unless overridden.

        Overridden, it can build the runner with arguments (``plugins.use_runner``).
        """
        plugins = Plugins()
        if self.runner_class is not None:
            plugins.use_runner(self.runner_class())
        return plugins

    def make_manager(self, session_uid: str, storage: Storage, plugins: Plugins) -> TriggerManager:
        """Return a session's manager, of a class that the worker knows by its name too."""
        return TriggerManager(session_uid, storage=storage, plugins=plugins)

    def refusing(self, runner: Any) -> AbstractContextManager[object]:
        """Return a context manager in which the engine accepts no work (a broker that is down,
        a pool that is closed). Without it, check R20 is not offered."""
        not_offered("override refusing() with a way to make the engine refuse work")

    # Name

    @rule("N1", mend='write name = "custom_runner" in the body of the class')
    def test_n1_it_has_a_name(self, triggers_bench: Bench) -> None:
        """The runner has a ``name``: a non-empty str, printable, without spaces at its ends."""
        name = _name_of(triggers_bench.runner_class)
        try:
            check_name(name, "task runner")
        except InvalidName as error:
            broken(f"has the name {name!r}: {error}")

    @rule("N2", mend="make name a plain class attribute: no property, nothing set in __init__")
    def test_n2_the_name_can_be_read_on_the_class(self, triggers_bench: Bench) -> None:
        """``name`` is read on the class, without building a runner."""
        found = inspect.getattr_static(triggers_bench.runner_class, "name", None)
        if not isinstance(found, str):
            broken(f"has {found!r} as the class attribute 'name'")

    @rule("N3", mend="make the class's name and its entry point's name equal")
    def test_n3_the_name_is_the_one_registered(self, triggers_bench: Bench) -> None:
        """``name`` equals the name that the runner is registered as."""
        name = _name_of(triggers_bench.runner_class)
        if name != triggers_bench.runner_name:
            broken(f"is registered as {triggers_bench.runner_name!r}, but its name is {name!r}")

    @rule("N4", mend="rename the runner, or uninstall what else claims the name")
    def test_n4_the_name_is_unique(self, triggers_bench: Bench) -> None:
        """One installed distribution only claims the name."""
        if triggers_bench.conformance.runner_class is not None:
            not_offered("the runner is given in code, and has no entry point")
        claims = [
            f"{found.dist.name if found.dist else 'unknown'} ({found.value})"
            for found in triggers_bench.entry_points
        ]
        if len(claims) != 1:
            broken(f"shares its name: it is claimed by {', '.join(claims) or 'nobody'}")

    @rule("N5", mend="make name a constant, the same for all instances of the class")
    def test_n5_the_name_is_the_same_on_every_instance(self, triggers_bench: Bench) -> None:
        """Every instance has the class's ``name``, at every reading."""
        runners = [triggers_bench.runner_class() for _ in range(2)]
        names = [runner.name for runner in runners for _ in range(2)]
        if set(names) != {triggers_bench.runner_class.name}:
            broken(f"has the name {triggers_bench.runner_class.name!r}, its instances {names!r}")

    # Registration

    @rule("G1", mend="have the entry point lead to a class that can be imported anywhere")
    def test_g1_it_can_be_imported(self, triggers_bench: Bench) -> None:
        """What is registered can be imported, and is a class."""
        found = triggers_bench.runner_class
        if not isinstance(found, type):
            broken(f"is {found!r}, not a class")

    @rule("G2", mend="subclass triggers_core.BaseTaskRunner")
    def test_g2_it_is_a_task_runner(self, triggers_bench: Bench) -> None:
        """The class is a subclass of ``BaseTaskRunner``."""
        found = triggers_bench.runner_class
        if not (isinstance(found, type) and issubclass(found, BaseTaskRunner)):
            broken(f"is {found!r}, which is no subclass of BaseTaskRunner")

    @rule("G3", mend="define run(self, manager, task_instance); leave nothing abstract")
    def test_g3_nothing_in_it_is_abstract(self, triggers_bench: Bench) -> None:
        """The class defines ``run`` and everything else that is abstract."""
        left: frozenset[str] = getattr(
            triggers_bench.runner_class, "__abstractmethods__", frozenset()
        )
        if left:
            broken(f"does not define {', '.join(sorted(left))}")

    @rule(
        "G4",
        mend="give each argument of __init__ a default, and connect to the engine at first use",
    )
    def test_g4_it_is_built_without_arguments(self, triggers_bench: Bench) -> None:
        """The framework builds the runner without arguments."""
        triggers_bench.in_time(triggers_bench.runner_class, "being built")

    @rule(
        "G5",
        mend=f"declare a frozenset of any of {', '.join(sorted(CAPABILITIES))}; leave "
        "out what is not offered",
    )
    def test_g5_its_capabilities_are_declared(self, triggers_bench: Bench) -> None:
        """``capabilities`` is a frozenset of words that the contract knows."""
        declared = getattr(triggers_bench.runner_class, "capabilities", None)
        if not isinstance(declared, (set, frozenset)):
            broken(f"declares {declared!r}, which is no frozenset")
        unknown = declared - CAPABILITIES
        if unknown:
            broken(f"declares {', '.join(map(repr, sorted(map(str, unknown))))}, unknown here")
        if {"inline", "remote"} <= declared:
            broken("declares both 'inline' and 'remote', which exclude each other")

    # Run

    @rule("R1", mend="define run(self, manager, task_instance) with these very names")
    def test_r1_run_takes_a_manager_and_an_instance(self, triggers_bench: Bench) -> None:
        """``run`` accepts ``(manager, task_instance)``, by position and by keyword."""
        session = triggers_bench.session(_each_go("note"))
        runner, manager = triggers_bench.runner, session.manager
        first, second = _held_instances(session, "go", 2)
        triggers_bench.in_time(lambda: runner.run(manager, first), "run(manager, instance)")
        triggers_bench.in_time(
            lambda: runner.run(manager=manager, task_instance=second),
            "run(manager=…, task_instance=…)",
        )
        session.settle_finished()

    @rule("R2", mend="call triggers_core.execute once for each instance that run() is given")
    def test_r2_each_instance_is_executed_once(self, triggers_bench: Bench) -> None:
        """Every instance handed to ``run`` is executed, and once only."""
        session = triggers_bench.session(_each_go("note"))
        for _ in range(FIRES_PER_THREAD):
            session.fire("go")
        _check_each_ran_once(triggers_bench, session, FIRES_PER_THREAD)

    @rule(
        "R3",
        mend="in run(), hand the work to your engine and return; or declare 'inline'",
    )
    def test_r3_run_returns_before_the_task_ends(self, triggers_bench: Bench) -> None:
        """``run`` returns before the task ends, unless the runner declares ``inline``."""
        if "inline" in triggers_bench.capabilities:
            not_offered("the runner declares 'inline'")
        session = triggers_bench.session({"t": {"after": ["go"], "run": "wait_for_gate"}})
        with _Gate(triggers_bench, session) as gate:
            session.fire("go", **gate.kwargs)
            session.wait_for_note("started")
            if session.notes("ended"):
                broken("returned from run() only after its task had ended")
        session.settle_finished()

    @rule("R4", mend="pass on the very instance that run() was given; keep no 'current' one")
    def test_r4_the_task_runs_for_its_own_instance(self, triggers_bench: Bench) -> None:
        """The context has the instance that was dispatched, with its session and attempt."""
        session = triggers_bench.session(_each_go("note"))
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

    @rule("R7", mend="treat the instance that run() is given as read only")
    def test_r7_run_changes_nothing_of_the_instance(self, triggers_bench: Bench) -> None:
        """``run`` leaves the instance that it is given as it is."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "change_kwargs"}})
        (instance,) = _held_instances(session, "go", 1, deep={"list": [1]})
        before = copy.deepcopy(instance)
        session.dispatch(instance)
        session.settle_finished()
        changed = [
            field.name
            for field in fields(instance)
            if getattr(instance, field.name) != getattr(before, field.name)
        ]
        if changed:
            broken(f"changed {_listed(changed)} of the instance that run() was given")

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
        _check_each_ran_once(triggers_bench, session, 3)
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
            {**_each_go("fail"), "good": {"after": ["then"], "run": "note"}}
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
            {**_each_go("leave"), "good": {"after": ["then"], "run": "note"}}
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
            broken(f"left {_listed(ends)}, where t#0 replayed and t#1 finished are due")
        attempts = [note.attempt for note in session.notes()]
        if attempts != [1, 2]:
            broken(f"ran the attempts {attempts}, where 1 and 2 are due")

    @rule(
        "R16",
        mend="start no instance before its not_before; triggers_core.execute waits for it too",
    )
    def test_r16_a_cooldown_is_waited_for(self, triggers_bench: Bench) -> None:
        """A retry starts no sooner than its cooldown after the attempt before."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "retry_once"}})
        session.fire("go", cooldown=COOLDOWN)
        clone = session.settle()["t#1"]
        started = session.notes()[-1].at
        if started < clone.not_before:
            broken(f"ran a retry {clone.not_before - started:.3f} s before its cooldown was over")

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
            broken(f"left {_listed(ends)}, where only the loud skip has a cascade")

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
            broken(f"left {_listed(came) or 'nothing'} to the other runner, not {_listed(wanted)}")

    @rule("R20", mend="let what your engine raises when it takes no work out of run()")
    def test_r20_refused_work_is_an_error(self, triggers_bench: Bench) -> None:
        """Where the engine does not take the work, ``run`` raises, so that it can be recovered."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "note"}})
        (instance,) = _held_instances(session, "go", 1)
        with triggers_bench.conformance.refusing(triggers_bench.runner):
            try:
                call_within(
                    triggers_bench.timeout,
                    lambda: triggers_bench.runner.run(session.manager, instance),
                )
            except DeadlinePassed:
                broken(f"did not return from run() within {triggers_bench.timeout:g} s")
            except Exception:
                return
        broken("returned from run() as if it had accepted the work, which the engine refused")

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

    @rule("R23", mend="queue without a bound, or raise when the queue is full")
    def test_r23_many_at_once_all_run(self, triggers_bench: Bench) -> None:
        """Of many instances that become ready at once, each is executed, and once only."""
        session = triggers_bench.session(
            {f"t{number}": {"after": ["go"], "run": "note"} for number in range(MANY)}
        )
        session.fire("go")
        _check_each_ran_once(triggers_bench, session, MANY)

    @rule("R24", mend="keep nothing of one call on self where another call can see it")
    def test_r24_run_is_called_from_many_threads(self, triggers_bench: Bench) -> None:
        """``run`` may be called from any number of threads at once."""
        session = triggers_bench.session(_each_go("note"))
        start = threading.Barrier(THREADS)

        def fire_several() -> None:
            start.wait()
            for _ in range(FIRES_PER_THREAD):
                session.fire_unwatched("go")

        triggers_bench.in_time(lambda: _in_threads(fire_several), f"fires from {THREADS} threads")
        _check_each_ran_once(triggers_bench, session, THREADS * FIRES_PER_THREAD)

    @rule("R25", mend="do not block in run(): the task that waits for a free worker may be one")
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
            }
        )
        session.fire("set")
        session.fire("go", cooldown=0, cascade=False)
        ended = session.settle()
        ran = len(session.notes())
        for instance in ended.values():
            session.dispatch(instance)
            session.dispatch(replace(instance, status=Status.SCHEDULED))
        triggers_bench.flush()
        again = [note.instance_name for note in session.notes()[ran:]]
        if again:
            broken(f"ran {_listed(again)} again, which had ended")
        changed = {
            name for name, instance in session.settle().items() if instance != ended.get(name)
        }
        if changed:
            broken(f"changed {_listed(changed)}, which had ended")

    @rule("R27", mend="call triggers_core.execute, which claims an instance before it runs it")
    def test_r27_what_is_running_is_not_run_twice(self, triggers_bench: Bench) -> None:
        """An instance that is running and is dispatched again is dropped."""
        if "inline" in triggers_bench.capabilities:
            not_offered("the runner declares 'inline': nothing is running when run() returns")
        session = triggers_bench.session({"t": {"after": ["go"], "run": "wait_for_gate"}})
        with _Gate(triggers_bench, session) as gate:
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
        (instance,) = _held_instances(session, "go", 1)
        touched = public_only(session.manager)
        try:
            session.dispatch(instance)
            session.settle_finished()
        finally:
            if touched:
                broken(f"used {_listed(touched)} of the manager")

    @rule("R30", mend="use the manager that run() is given; keep none from an earlier call")
    def test_r30_each_instance_runs_in_its_own_session(self, triggers_bench: Bench) -> None:
        """Sessions that run at the same time do not mix."""
        sessions = [triggers_bench.session(_each_go("note")) for _ in range(3)]
        for _ in range(3):
            for session in sessions:
                session.fire("go")
        for session in sessions:
            _check_each_ran_once(triggers_bench, session, 3)

    @rule("R31", mend="execute with the manager that run() is given, and so with its plugins")
    def test_r31_the_plugins_take_part(self, triggers_bench: Bench) -> None:
        """The task runs through the hook ``triggers_execute`` of the manager's plugins."""
        if "remote" in triggers_bench.capabilities:
            not_offered("the runner declares 'remote': its workers have plugins of their own")
        session = triggers_bench.session(_each_go("note"))
        spy = ExecutionSpy()
        triggers_bench.plugins.register(spy)
        try:
            session.fire("go")
            session.settle_finished()
        finally:
            triggers_bench.plugins.unregister(spy)
        if spy.names != ["t#0"]:
            broken("ran a task that no plugin was asked about")

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

    # Capabilities

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
            broken(f"returned from join_all() with {_listed(ends)}")

    @rule("C2", needs="join", mend="raise TimeoutError, or a subclass, when the timeout is over")
    def test_c2_join_all_keeps_its_timeout(self, triggers_bench: Bench) -> None:
        """``join_all(timeout)`` raises ``TimeoutError`` at the timeout, and the work goes on."""
        if "inline" in triggers_bench.capabilities:
            not_offered("the runner declares 'inline': there is nothing to wait for")
        session = triggers_bench.session({"t": {"after": ["go"], "run": "wait_for_gate"}})
        with _Gate(triggers_bench, session) as gate:
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
        session = triggers_bench.session(_each_go("note"))
        for _ in range(3):
            session.fire("go")
            for _ in range(2):
                triggers_bench.in_time(triggers_bench.runner.join_all, "join_all()")
        session.settle_finished()

    @rule("C5", needs="cooldown", mend="use the engine's own delay; do not sleep in a worker")
    def test_c5_a_cooldown_keeps_no_worker_busy(self, triggers_bench: Bench) -> None:
        """While instances wait for their cooldown, other work runs."""
        for cooldown in LONG_COOLDOWNS:
            session = triggers_bench.session(
                {**_each_go("retry_once"), "quick": {"after": ["then"], "run": "note"}}
            )
            for _ in range(WAITING):
                session.fire("go", cooldown=cooldown)
            _wait_for_clones(triggers_bench, session, WAITING)
            session.fire("then")
            instances = session.settle()
            due = min(i.not_before for i in instances.values() if i.not_before)
            if instances["quick#0"].changed_at < due:
                return
        broken(f"ran other work only after the cooldown of {WAITING} waiting instances")

    @rule("C6", needs="remote", mend="run tasks in the worker; or do not declare 'remote'")
    def test_c6_another_process_runs_the_task(self, triggers_bench: Bench) -> None:
        """The task runs in another process than the one that fires."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "note"}})
        session.fire("go")
        session.settle_finished()
        if session.notes()[0].pid == os.getpid():
            broken("ran the task in the process that fired")

    @rule("C7", needs="remote", mend="send Reference.to(manager, task_instance).to_dict()")
    def test_c7_a_message_is_a_reference(self, triggers_bench: Bench) -> None:
        """A message carries a reference: no kwargs and no live objects."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "note"}})
        (instance,) = _held_instances(session, "go", 1)
        used: list[str] = []
        values = {field.name: getattr(instance, field.name) for field in fields(instance)}
        values["trigger_kwargs"] = SealedKwargs(instance.trigger_kwargs, used)
        try:
            session.dispatch(SealedInstance(used, values))
        finally:
            if used:
                broken(f"{used[0]} in order to send it")
        session.settle_finished()

    @rule("C8", needs="inline", mend="return from run() after triggers_core.execute has")
    def test_c8_inline_work_has_ended_when_run_returns(self, triggers_bench: Bench) -> None:
        """``run`` returns after the task has ended, its cascade included."""
        session = triggers_bench.session(
            {"t": {"after": ["go"], "run": "note"}, "u": {"after": ["t"], "run": "note"}}
        )
        session.fire("go")
        ends = {instance.name: instance.status for instance in session.manager.instances()}
        if ends != {"t#0": Status.FINISHED, "u#0": Status.FINISHED}:
            broken(f"returned from run() with {_listed(ends)}")

    @rule("C9", needs="remote", mend="drop, in the worker, what triggers_core.execute drops")
    def test_c9_a_duplicate_is_harmless(self, triggers_bench: Bench) -> None:
        """A message that is delivered several times runs its task once, and the worker goes on."""
        session = triggers_bench.session(_each_go("note"))
        instances = _held_instances(session, "go", FIRES_PER_THREAD)
        for instance in instances:
            for _ in range(DELIVERIES):
                session.dispatch(instance)
        _check_each_ran_once(triggers_bench, session, FIRES_PER_THREAD)

    # Model

    @rule("M1", mend="run the script above; the rules R say what each step demands")
    def test_m1_random_sessions_end_as_the_rules_say(self, triggers_bench: Bench) -> None:
        """Any configuration and any triggers end as the rules of the framework say."""
        check_against_model(triggers_bench, self.examples)


class _Gate:
    """Keeps a task running until the body is left."""

    def __init__(self, bench: Bench, session: Session) -> None:
        self._path = session.folder / "gate"
        self.kwargs = {"gate": str(self._path), "timeout": bench.timeout}

    def __enter__(self) -> _Gate:
        return self

    def __exit__(self, *exception: object) -> None:
        self._path.touch()


def _name_of(runner_class: type[BaseTaskRunner]) -> Any:
    """Return the name as an instance has it, or where none can be built, as the class has."""
    try:
        return runner_class().name
    except Exception:
        return getattr(runner_class, "name", None)


def _each_go(run: str) -> dict[str, dict[str, Any]]:
    return {"t": {"after": ["go"], "andEvery": "go", "run": run}}


def _held_instances(
    session: Session, trigger_name: str, count: int, **kwargs: Any
) -> list[TaskInstance]:
    """Return instances that are scheduled, and that the runner has not heard of."""
    with session.held() as instances:
        for _ in range(count):
            session.fire(trigger_name, **kwargs)
        return instances


def _check_each_ran_once(bench: Bench, session: Session, count: int) -> None:
    instances = session.settle_finished()
    bench.flush()
    if len(session.settle()) != count:
        broken(f"left {len(session.settle())} instances, where {count} are due")
    runs = Counter(note.instance_name for note in session.notes())
    wrong = {name: runs[name] for name in instances if runs[name] != 1}
    if wrong:
        broken("ran " + ", ".join(f"{name} {times} times" for name, times in wrong.items()))


def _check_kwargs(session: Session, wanted: Mapping[str, Any]) -> None:
    for note in session.notes():
        if note.trigger_kwargs != wanted:
            broken(f"gave {note.instance_name} {note.trigger_kwargs!r}, where {wanted!r} is due")


def _in_threads(function: Callable[[], None]) -> None:
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


def _raises_timeout(function: Callable[[], object]) -> bool:
    try:
        function()
    except TimeoutError:
        return True
    return False


def _wait_for_clones(bench: Bench, session: Session, count: int) -> None:
    """Wait until all first attempts have asked for their retry."""
    first = session.manager.instances
    if not wait_until(lambda: len(first(statuses={Status.REPLAYED})) >= count, bench.timeout):
        broken(
            f"did not run {count} first attempts within {bench.timeout:g} s, while some of them "
            "waited for their cooldown already"
        )


def _listed(names: Any) -> str:
    if isinstance(names, Mapping):
        return ", ".join(f"{name} {status}" for name, status in sorted(names.items()))
    return ", ".join(sorted(names))


def conformance_of(name: str) -> type[RunnerConformance]:
    """Return the checks of an installed runner that needs no worker of its own."""
    return type("TestRunner", (RunnerConformance,), {"runner_name": name})
