"""The bench on which a runner stands: its plugins, store and worker, and sessions to try it with.

Checks reach the runner through it, with a deadline on everything, and look at what came of it
in the store and in the tasks' notes, which any process of this machine can write.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from triggers_conformance import tasks as check_tasks
from triggers_conformance.harness import RunnerHarness
from triggers_conformance.notes import Note, read_notes
from triggers_conformance.rules import broken
from triggers_conformance.waiting import DeadlinePassed, call_within, wait_until
from triggers_core import (
    BaseTaskRunner,
    DispatchError,
    Plugins,
    SqliteStorage,
    Status,
    Storage,
    TaskInstance,
    TriggerManager,
    TriggersError,
    hookimpl,
)
from triggers_core.plugins.entry_points import Offer, installed
from triggers_core.plugins.in_use import STORAGE_VARIABLE
from triggers_core.rules.instance import ACTIVE

GROUP = "triggers.runners"
FLUSHES = 3
LOOK_SECONDS = 1.0

Value = TypeVar("Value")


class Bench:
    """One runner under test. Each part is made when a check first needs it.

    Args:
        conformance: the class that says which runner, and how to run it.
        folder: an empty folder for the store, the notes and the engine's own files.
        timeout: seconds for each thing waited for; None for the class's own.
    """

    def __init__(
        self, conformance: type[RunnerHarness], folder: Path, timeout: float | None = None
    ) -> None:
        self.conformance = conformance()
        self.runner_name = conformance.runner_name
        self.folder = folder
        self.timeout = conformance.timeout if timeout is None else timeout
        self.desk = Desk()
        self._open = ExitStack()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the worker and close the store, if they were needed."""
        self._open.close()

    @cached_property
    def entry_points(self) -> list[Offer]:
        """The entry points that claim the runner's name."""
        return [offer for offer in installed(GROUP) if offer.name == self.runner_name]

    @cached_property
    def runner_class(self) -> type[BaseTaskRunner]:
        """What stands behind the name, as it is: nothing of it is checked."""
        if self.conformance.runner_class is not None:
            return self.conformance.runner_class
        if not self.entry_points:
            broken(
                f"is not installed: no distribution has the entry point {self.runner_name!r} in "
                f"the group {GROUP!r}"
            )
        entry_point = self.entry_points[0]
        try:
            found: type[BaseTaskRunner] = entry_point.load()
        except Exception as error:
            broken(
                f"cannot be imported: the entry point {entry_point.value!r} raised "
                f"{type(error).__name__}: {error}"
            )
        return found

    @property
    def capabilities(self) -> frozenset[str]:
        """What the runner declares; nothing, where the declaration itself is broken."""
        declared: Any = getattr(self.runner_class, "capabilities", frozenset())
        return frozenset(declared) if isinstance(declared, (set, frozenset)) else frozenset()

    @cached_property
    def plugins(self) -> Plugins:
        """The plugins of this process, with the store known by its alias."""
        self.environment  # noqa: B018 - the worker starts first
        plugins = self.conformance.make_plugins()
        plugins.register(self.desk, "triggers-conformance")
        return plugins

    @cached_property
    def environment(self) -> dict[str, str]:
        """What worker processes need in their environment; the worker runs once it is known."""
        url = self.conformance.storage_url(self.folder)
        environment = {STORAGE_VARIABLE: url}
        self._open.enter_context(self.conformance.worker(self.folder, environment))
        return environment

    @cached_property
    def storage(self) -> Storage:
        """The store, open; worker processes open it by its URL."""
        url = self.environment[STORAGE_VARIABLE]
        storage = self.conformance.open_storage(url, self.plugins)
        self.plugins.add_storage(storage)
        self._open.callback(storage.close)
        return storage

    @cached_property
    def runner(self) -> Any:
        """The runner object that this bench's sessions use."""
        try:
            return self.plugins.runner(self.runner_name)
        except TriggersError as error:
            broken(f"cannot be had: {error}")

    def session(self, tasks: Mapping[str, Mapping[str, Any]]) -> Session:
        """Return a new session with these tasks, run by this runner.

        Args:
            tasks: name → directives; ``run`` is the name of a task of the checks.
        """
        self.runner  # noqa: B018 - where it cannot be had, that is what is to be said
        uid = f"session-{uuid.uuid4()}"
        manager = self.conformance.make_manager(uid, self.storage, self.plugins)
        session = Session(self, manager, self.folder / uid)
        session.configure(tasks)
        return session

    def session_at(
        self, manager: TriggerManager, tasks: Mapping[str, Mapping[str, Any]]
    ) -> Session:
        """Return the session of a manager that a check has made itself, with these tasks."""
        session = Session(self, manager, self.folder / f"at-{uuid.uuid4()}")
        session.configure(tasks)
        return session

    def another_storage(self, alias: str) -> Storage:
        """Return one more store, of this process, which other checks do not see."""
        storage = SqliteStorage(self.folder / f"{alias}.db", alias=alias, synchronous="NORMAL")
        self._open.callback(storage.close)
        return storage

    def in_time(self, call: Callable[[], Value], what: str) -> Value:
        """Call it, and return what it does. Broken, if it raises or takes too long.

        Args:
            what: what is called, for the message: "fire('go')".
        """
        try:
            return call_within(self.timeout, call)
        except DeadlinePassed:
            broken(f"did not return from {what} within {self.timeout:g} s")
        except DispatchError as error:
            cause = error.__cause__
            broken(f"did not accept the work of {what}: {type(cause).__name__}: {cause}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            broken(f"let {what} raise {type(error).__name__}: {error}")

    def flush(self) -> None:
        """Let what a faulty runner may still do come out: have it run a few more instances."""
        session = self.session({"t": {"after": ["go"], "andEvery": "go", "run": "note"}})
        for _ in range(FLUSHES):
            session.fire("go")
            session.settle()
        if "join" in self.capabilities:
            self.in_time(lambda: self.runner.join_all(timeout=self.timeout), "join_all()")

    def flush_if_free(self) -> None:
        """Flush, with one instance, if a worker has time for it; go on soon if none has."""
        session = self.session({"t": {"after": ["go"], "run": "note"}})
        session.fire("go")
        wait_until(session.notes, LOOK_SECONDS)


class Session:
    """One session on the bench.

    Attributes:
        manager: its manager, in this process.
        folder: where its tasks write their notes.
    """

    def __init__(self, bench: Bench, manager: TriggerManager, folder: Path) -> None:
        self.manager = manager
        self.folder = folder
        self._bench = bench
        folder.mkdir()

    def configure(self, tasks: Mapping[str, Mapping[str, Any]], **how: Any) -> None:
        """Add tasks; ``how`` is passed on to ``update_configuration``."""
        configuration = {
            name: {
                "using": self._bench.runner_name,
                **directives,
                "run": f"{check_tasks.__name__}.{directives['run']}",
            }
            for name, directives in tasks.items()
        }
        self._bench.in_time(
            lambda: self.manager.update_configuration(configuration, **how),
            "update_configuration()",
        )

    def fire(self, trigger_name: str, **kwargs: Any) -> None:
        """Fire a trigger that carries where to write notes; Broken, if that fails or hangs."""
        self._bench.in_time(
            lambda: self.fire_unwatched(trigger_name, **kwargs), f"fire({trigger_name!r})"
        )

    def fire_unwatched(self, trigger_name: str, **kwargs: Any) -> None:
        """Fire as :meth:`fire` does, in this thread, and let every error through."""
        self.manager.fire(trigger_name, {"notes": str(self.folder), **kwargs})

    @contextmanager
    def held(self) -> Iterator[list[TaskInstance]]:
        """Keep what is dispatched from this process from the runner; yields those instances."""
        with self._bench.desk.holding(self.manager.session_uid) as instances:
            yield instances

    def dispatch(self, instance: TaskInstance) -> None:
        """Hand an instance to the runner directly; Broken, if that fails or hangs."""
        self._bench.in_time(
            lambda: self._bench.runner.run(self.manager, instance), f"run(…, {instance.name})"
        )

    def settle(self, timeout: float | None = None) -> dict[str, TaskInstance]:
        """Wait until nothing is scheduled or running; return all instances by name."""
        timeout = self._bench.timeout if timeout is None else timeout
        wait_until(lambda: not self._active(), timeout)
        left = self._active()
        if left:
            broken(
                f"left {', '.join(f'{name} {status}' for name, status in left[:5])}"
                f"{f' and {len(left) - 5} more' if len(left) > 5 else ''}: "  # noqa: PLR2004
                f"that is so {timeout:g} s after the work was dispatched"
            )
        return {instance.name: instance for instance in self.manager.instances()}

    def settle_finished(self, timeout: float | None = None) -> dict[str, TaskInstance]:
        """Settle; Broken, unless every instance finished."""
        instances = self.settle(timeout)
        for instance in instances.values():
            if instance.status is not Status.FINISHED:
                broken(f"left {instance.name} {instance.status}{_reason(instance)}")
        return instances

    def wait_for_note(self, step: str) -> Note:
        """Return a note of that step; Broken, if none is written in time."""
        notes = wait_until(lambda: self.notes(step), self._bench.timeout)
        if not notes:
            broken(
                f"did not get a task to {step!r} within {self._bench.timeout:g} s; the instances "
                f"are {', '.join(f'{i.name} {i.status}' for i in self.manager.instances())}"
            )
        return notes[0]

    def notes(self, step: str | None = None) -> list[Note]:
        """Return the notes so far, oldest first: all, or those of one step."""
        return [note for note in read_notes(self.folder) if step in (None, note.step)]

    def _active(self) -> list[tuple[str, Status]]:
        return [(found.name, found.status) for found in self.manager.instances(statuses=ACTIVE)]


class Desk:
    """Stands between a dispatch of this process and the runner, and can hold work back."""

    def __init__(self) -> None:
        self._held: dict[str, list[TaskInstance]] = {}

    @contextmanager
    def holding(self, session_uid: str) -> Iterator[list[TaskInstance]]:
        """Hold back a session's instances; yields the list that they are kept in."""
        instances: list[TaskInstance] = []
        self._held[session_uid] = instances
        try:
            yield instances
        finally:
            del self._held[session_uid]

    @hookimpl(tryfirst=True)
    def triggers_run(self, manager: TriggerManager, task_instance: TaskInstance) -> bool | None:
        """Keep it, if its session is held."""
        held = self._held.get(manager.session_uid)
        if held is None:
            return None
        held.append(task_instance)
        return True


def _reason(instance: TaskInstance) -> str:
    error = instance.metadata.get("error")
    if error is None:
        return ""
    last_lines = error["traceback"].strip().splitlines()[-3:-1]
    where = "".join(f"\n    {line.strip()}" for line in last_lines)
    return f", with {error['type']}: {error['message']}{where}"
