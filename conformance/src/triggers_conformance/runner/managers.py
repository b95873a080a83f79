"""The manager that was dispatched with is the one that the task runs with, and no other."""

from __future__ import annotations

import uuid
from contextlib import nullcontext

from triggers_conformance.bench import Bench
from triggers_conformance.probes import ExecutionSpy, NamedManager
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.runner.steps import each_go, workers_busy
from triggers_core import TriggerManager
from triggers_core.rules.names import MAX_NAME_LENGTH

ROUNDS = 2
NAMES = (
    "one/two/../three",
    "C:\\one.two",
    "one:two|three,four;five",
    "*?[one]",
    "%s{0}${HOME}`one`'\"",
    "--one",
    "one two",
    "ключ é 🚀",
    "One",
    "one",
    "x" * MAX_NAME_LENGTH,
)


class Managers:
    """Checks R37, R38, R60."""

    @rule(
        "R37", mend="pass on the manager that run() was given; a worker opens a Reference instead"
    )
    def test_r37_the_manager_is_of_the_class_dispatched_with(self, triggers_bench: Bench) -> None:
        """``context.manager`` is of the class of the manager that dispatched the instance."""
        triggers_bench.runner  # noqa: B018 - where it cannot be had, that is what is to be said
        uid = f"session-{uuid.uuid4()}"
        storage, plugins = triggers_bench.storage, triggers_bench.plugins
        manager = triggers_bench.conformance.make_manager(uid, storage, plugins)
        if type(manager) is TriggerManager:
            manager = NamedManager(uid, storage=storage, plugins=plugins)
        session = triggers_bench.session_at(
            manager,
            {
                "t": {"after": ["go"], "run": "name_manager"},
                "u": {"after": ["t"], "run": "name_manager"},
            },
        )
        session.fire("go")
        session.settle_finished()
        wanted = [type(manager).__module__, type(manager).__qualname__]
        for note in session.notes():
            if note.said != wanted:
                broken(
                    f"ran {note.instance_name} with a manager of the class {'.'.join(note.said)}, "
                    f"where it was dispatched by one of {'.'.join(wanted)}"
                )

    @rule("R38", mend="take the storage and plugins of run()'s own manager at each call; keep none")
    def test_r38_several_storages_and_plugins_at_once(self, triggers_bench: Bench) -> None:
        """Several storages and several ``Plugins`` are used at once, each for its own sessions."""
        if "remote" in triggers_bench.capabilities:
            not_offered("the runner declares 'remote': its workers have plugins of their own")
        triggers_bench.runner  # noqa: B018 - as above
        others = triggers_bench.conformance.make_plugins()
        places = [(triggers_bench.plugins, triggers_bench.storage)]
        for plugins in (triggers_bench.plugins, others):
            storage = triggers_bench.another_storage(f"another-{uuid.uuid4()}")
            plugins.add_storage(storage)
            places.append((plugins, storage))
        # The same uid everywhere, so that the wrong store has what is looked for in it.
        uid = f"session-{uuid.uuid4()}"
        make_manager = triggers_bench.conformance.make_manager
        sessions = [
            triggers_bench.session_at(make_manager(uid, storage, plugins), each_go("note"))
            for plugins, storage in places
        ]
        spy = ExecutionSpy()
        others.register(spy)
        for _ in range(ROUNDS):
            for session in sessions:
                session.fire("go")
        for number, session in enumerate(sessions):
            session.settle_finished()
            if len(session.notes()) != ROUNDS:
                broken(
                    f"ran {len(session.notes())} tasks of the session in storage {number + 1}, "
                    f"where {ROUNDS} were dispatched"
                )
        if len(spy.names) != ROUNDS:
            broken("ran what was dispatched by one Plugins with another's hooks")

    @rule("R60", mend="make no file, queue or key of a name; or escape it, and cut nothing off")
    def test_r60_any_name_will_do(self, triggers_bench: Bench) -> None:
        """Sessions and tasks of every name that the framework takes have their work executed."""
        tasks = {name: {"after": ["go"], "run": "note"} for name in NAMES}
        storage, plugins = triggers_bench.storage, triggers_bench.plugins
        make_manager = triggers_bench.conformance.make_manager
        triggers_bench.runner  # noqa: B018 - as above
        unique = str(uuid.uuid4())
        uids = [f"{name} {unique}"[-MAX_NAME_LENGTH:] for name in NAMES]
        sessions = [
            triggers_bench.session_at(make_manager(uid, storage, plugins), tasks) for uid in uids
        ]
        is_inline = "inline" in triggers_bench.capabilities
        with nullcontext() if is_inline else workers_busy(triggers_bench):
            for session in sessions:
                session.fire("go")
        for session in sessions:
            uid = session.manager.session_uid
            session.settle_finished()
            ran = [note.instance_name for note in session.notes() if note.session_uid == uid]
            if sorted(ran) != sorted(f"{task}#0" for task in NAMES):
                broken(f"ran {len(ran)} of {len(NAMES)} tasks in the session {uid!r}")
