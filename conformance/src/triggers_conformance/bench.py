"""The bench on which a runner stands: its plugins, store and worker, and sessions to try it with.

Checks reach the runner through it, with a deadline on everything, and look at what came of it
in the store and in the tasks' notes, which any process of this machine can write. It keeps what
was found broken, and has a runner that lives for each check: one cause is told once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from triggers_conformance import tasks as check_tasks
from triggers_conformance.harness import RunnerHarness
from triggers_conformance.notes import Note, read_notes
from triggers_conformance.probes import Desk
from triggers_conformance.rules import Broken, NotChecked, Rule, because_of, broken, not_checked
from triggers_conformance.waiting import (
    DeadlinePassed,
    Patience,
    call_within,
    wait_until,
    wait_while_moving,
)
from triggers_conformance.words import Words
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
)
from triggers_core.plugins.entry_points import Offer, installed
from triggers_core.plugins.in_use import STORAGE_VARIABLE
from triggers_core.rules.instance import ACTIVE

GROUP = "triggers.runners"
FLUSHES = 3
LOOK_SECONDS = 1.0
SMOKES = 2
LONGEST_TIMEOUTS = 3
"""Timeouts that work may take as a whole, while some of it moves within each."""
FIRST = {"R1", "R2", "R30"}
"""The rules that say whether the runner runs anything, in any session."""
CANNOT_BE_BUILT = ("G1", "G2", "G3", "G4", "N1", "N2", "N3")
"""The rules without which the framework does not build a runner."""

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
        self.desk = Desk()
        self._patience = Patience(conformance.timeout if timeout is None else timeout)
        self._broken: list[str] = []
        self._cause: str | None = None
        self._lives = False
        self._places = 0
        self._open = ExitStack()
        self._words = Words()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the worker and close the store, if they were needed."""
        self._open.close()

    @property
    def timeout(self) -> float:
        """Seconds to wait for each single thing."""
        return self._patience.seconds

    def begin(self, rule: Rule) -> None:
        """Have a runner that runs tasks, or say why there is none.

        Raises:
            NotChecked: it is known already, as a rule that is broken, or too much was waited for.
            Broken: it was not known.
        """
        self._words.listen()
        if rule.number[0] in "NG":
            return
        if self._cause is not None:
            because_of(self._cause, "with that, nothing of this can be looked at")
        if self._patience.is_over:
            what = ", ".join(self._broken)
            not_checked(f"what is broken ({what}) took the time; mend that first")
        if rule.number not in FIRST and not self._lives:
            self._try_tasks()

    def is_broken(self, number: str) -> bool:
        """Return whether that rule was found broken."""
        return number in self._broken

    def check_unbroken(self, *numbers: str) -> None:
        """Raise NotChecked if one of these rules was found broken."""
        for number in filter(self.is_broken, numbers):
            because_of(number, "without that this cannot be looked at")

    def check_nothing_broken(self) -> None:
        """Raise NotChecked if any rule was found broken."""
        self.check_unbroken(*self._broken)

    def look_after(self, rule: Rule) -> str:
        """Make the runner anew if it is dead; where that is no help, the rule is the cause of what
        follows. Return what is to be said of it, and what the workers have said."""
        said = self._words.since_listening()
        self._broken.append(rule.number)
        if rule.number[0] in "NG" or (rule.number not in FIRST and self._is_alive()):
            return said
        said += self._renew()
        if self._is_alive():
            return f"; after that it ran nothing, and was made anew for the other checks{said}"
        self._cause = rule.number
        return said

    def _is_alive(self) -> bool:
        self._lives = False
        try:
            self._try_tasks()
        except (Broken, NotChecked):
            return False
        return True

    def _try_tasks(self) -> None:
        """Have tasks run in sessions of their own, and learn how long that takes."""
        for _ in range(SMOKES):
            begin = time.monotonic()
            session = self.session({"t": {"after": ["go"], "run": "note"}})
            session.fire("go")
            session.settle_finished()
        self._patience.learn(time.monotonic() - begin)
        self._lives = True

    def _renew(self) -> str:
        """Forget the runner and all that it stands on, so that it is made when it is needed; return
        what is to be said of its end, which may be nothing."""
        said = ""
        try:
            call_within(self.timeout, self._open.close)
        except Exception as error:  # what is dead may not be closed either
            said = f"\n    | it could not be stopped: {type(error).__name__}: {error}"
        self._open = ExitStack()
        for part in ("environment", "plugins", "storage", "runner", "first_session"):
            self.__dict__.pop(part, None)
        return said

    @cached_property
    def entry_points(self) -> list[Offer]:
        """The entry points that claim the runner's name."""
        return [offer for offer in installed(GROUP) if offer.name == self.runner_name]

    @cached_property
    def runner_class(self) -> type[BaseTaskRunner]:
        """What stands behind the name, as it is: nothing of it is checked."""
        if self.conformance.runner_class is not None:
            return self.conformance.runner_class
        self.check_unbroken("G1")
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
        try:
            declared: Any = getattr(self.runner_class, "capabilities", frozenset())
        except (Broken, NotChecked):
            return frozenset()
        return frozenset(declared) if isinstance(declared, (set, frozenset)) else frozenset()

    @cached_property
    def plugins(self) -> Plugins:
        """The plugins of this process, with the store known by its alias."""
        self.environment  # noqa: B018 - the worker starts first
        plugins = self._built("make_plugins()", self.conformance.make_plugins)
        plugins.register(self.desk, "triggers-conformance")
        return plugins

    @cached_property
    def environment(self) -> dict[str, str]:
        """What worker processes need in their environment; the worker runs once it is known."""
        self._places += 1
        place = self.folder / f"place-{self._places}"
        place.mkdir()
        self._words.of_files_in(place)
        environment = {STORAGE_VARIABLE: self.conformance.storage_url(place)}
        self._open.enter_context(self.conformance.worker(place, environment))
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
        plugins = self.plugins
        return self._built("its construction", lambda: plugins.runner(self.runner_name))

    def _built(self, what: str, build: Callable[[], Value]) -> Value:
        self.check_unbroken(*CANNOT_BE_BUILT)
        try:
            return call_within(self.timeout, build)
        except DeadlinePassed:
            self.give_up(f"cannot be had: {what} did not end within {self.timeout:g} s")
        except TriggersError as error:
            broken(f"cannot be had: {error}")
        except Exception as error:
            broken(f"cannot be had: {what} raised {type(error).__name__}: {error}")

    @cached_property
    def first_session(self) -> Session:
        """The session in which the runner is tried first; its task ``t`` runs each ``go``."""
        return self.session({"t": {"after": ["go"], "andEvery": "go", "run": "note"}})

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

    def in_time(
        self, call: Callable[[], Value], what: str, *, at_most: float | None = None
    ) -> Value:
        """Call it, and return what it does. Broken, if it raises or takes too long.

        Args:
            what: what is called, for the message: "fire('go')".
            at_most: seconds, where that is less than the bench's timeout.
        """
        timeout = self.timeout if at_most is None else min(at_most, self.timeout)
        try:
            return call_within(timeout, call)
        except DeadlinePassed:
            self.give_up(f"did not return from {what} within {timeout:g} s", timeout)
        except DispatchError as error:
            cause = error.__cause__
            broken(f"did not accept the work of {what}: {type(cause).__name__}: {cause}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            broken(f"let {what} raise {type(error).__name__}: {error}")

    def give_up(self, did: str, seconds: float | None = None) -> NoReturn:
        """End a check that has waited in vain; seconds: how long, if not for the timeout."""
        self._patience.waited_in_vain(self.timeout if seconds is None else seconds)
        broken(did)

    def flush(self, session: Session | None = None) -> None:
        """Let what a faulty runner may still do come out: have it run a few more instances.

        Args:
            session: one whose triggers ``go`` each make one; None for a session of its own.
        """
        if session is None:
            session = self.session({"t": {"after": ["go"], "andEvery": "go", "run": "note"}})
        for _ in range(FLUSHES):
            session.fire("go")
            session.settle()

    def ended_soon(self, session: Session) -> set[str]:
        """Return the names of the instances that have ended once all have, or after a while in
        which they do not: it is for others to say that nothing runs."""
        if not wait_until(lambda: not session.left(), self.timeout / 2):
            self._patience.waited_in_vain(self.timeout / 2)
        left = {name for name, _ in session.left()}
        return {instance.name for instance in session.manager.instances()} - left

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
            lambda: self._bench.runner.run(manager=self.manager, task_instance=instance),
            f"run(…, {instance.name})",
        )

    def settle(self, timeout: float | None = None) -> dict[str, TaskInstance]:
        """Wait until nothing is scheduled or running; return all instances by name.

        Args:
            timeout: seconds in which some instance must begin or end; None for the bench's.
        """
        timeout = self._bench.timeout if timeout is None else timeout
        longest = LONGEST_TIMEOUTS * timeout
        left = wait_while_moving(self.left, timeout, longest)
        if left:
            self._bench.give_up(
                f"left {', '.join(f'{name} {status}' for name, status in left[:5])}"
                f"{f' and {len(left) - 5} more' if len(left) > 5 else ''}: "  # noqa: PLR2004
                f"nothing has changed for {timeout:g} s, or there was no end after {longest:g} s",
                timeout,
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
            self._bench.give_up(
                f"did not get a task to {step!r} within {self._bench.timeout:g} s; the instances "
                f"are {', '.join(f'{i.name} {i.status}' for i in self.manager.instances())}"
            )
        return notes[0]

    def notes(self, step: str | None = None) -> list[Note]:
        """Return the notes so far, oldest first: all, or those of one step."""
        return [note for note in read_notes(self.folder) if step in (None, note.step)]

    def left(self) -> list[tuple[str, Status]]:
        """Return the name and status of each instance that is scheduled or running."""
        return [(found.name, found.status) for found in self.manager.instances(statuses=ACTIVE)]


def _reason(instance: TaskInstance) -> str:
    error = instance.metadata.get("error")
    if error is None:
        return ""
    last_lines = error["traceback"].strip().splitlines()[-3:-1]
    where = "".join(f"\n    {line.strip()}" for line in last_lines)
    return f", with {error['type']}: {error['message']}{where}"
