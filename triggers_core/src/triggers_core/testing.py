"""A toolbox for an application's own tests: a manager to fire into, and assertions that explain.

With ``triggers-core`` and ``triggers-threading`` installed, pytest knows the fixtures
``trigger_bench`` and ``trigger_manager``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Generator, Iterator, Mapping
from textwrap import indent
from typing import Any, NoReturn, TypeVar, overload

import pytest

from triggers_core.errors import InstanceNotFound
from triggers_core.hookspecs import hookimpl
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import Plugins
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.storage.memory import MemoryStorage
from triggers_core.task import TriggerTask, as_task

DEFAULT_TIMEOUT = 30.0
"""Seconds that :meth:`TriggerBench.settle` waits for."""

Manager = TypeVar("Manager", bound=TriggerManager)

_has_failed = pytest.StashKey[bool]()


class FrozenClock:
    """The bench's time: it stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = 1_000_000_000.0
        """Seconds since the epoch, UTC."""


class TriggerBench:
    """Managers on one memory storage and threads, with a frozen clock.

    Whatever runner a configuration names, its tasks run in threads here. A retry with a
    cooldown waits until :meth:`advance` has moved the clock past it.

    Attributes:
        clock: the storage's clock.
        storage: the memory storage.
        plugins: the plugins in use: those installed, with the bench's own on top.
    """

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.storage = _FrozenStorage(self.clock)
        self.plugins = Plugins()
        self._hooks = _BenchHooks(self.plugins, self.clock)
        self.plugins.register(self._hooks)

    @overload
    def manager(self, session_uid: str = ...) -> TriggerManager: ...

    @overload
    def manager(self, session_uid: str, manager_class: type[Manager]) -> Manager: ...

    def manager(
        self, session_uid: str = "test", manager_class: type[TriggerManager] = TriggerManager
    ) -> TriggerManager:
        """Return a manager of a session, of the application's own class if need be."""
        return manager_class(session_uid, storage=self.storage, plugins=self.plugins)

    def use_tasks(self, tasks: Mapping[str, Any]) -> None:
        """Run these in place of what ``run`` targets name: target → task class or instance."""
        self._hooks.tasks.update(
            {target: as_task(found, target) for target, found in tasks.items()}
        )

    def settle(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Wait until nothing runs that could run by the bench's clock, cascades included.

        Raises:
            TimeoutError: something still runs after ``timeout`` seconds.
        """
        self._hooks.join_all(timeout)

    def advance(self, seconds: float) -> None:
        """Settle, move the clock on, start what waited for that, and settle again."""
        self.settle()
        self.clock.time += seconds
        self._hooks.release()
        self.settle()

    def check_resolved(self) -> None:
        """Fail the test if an instance, in whichever session on the bench's storage, failed or
        logged a warning that the test did not expect: by ``assert_failed`` or
        ``mark_instance_logs_resolved``."""
        for session_uid, _ in self.storage.sessions():
            manager = self.manager(session_uid)
            unresolved = manager.unresolved_instances()
            if unresolved:
                names = ", ".join(instance.name for instance in unresolved)
                pytest.fail(f"unresolved: {names}\n{dump(manager)}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_has_failed] = True
    return report


@pytest.fixture
def trigger_bench(request: pytest.FixtureRequest) -> Iterator[TriggerBench]:
    """Give a :class:`TriggerBench`; at the end, settle it and fail on what is unresolved.

    A test that has failed already has shown the session, and is not failed once more.
    """
    bench = TriggerBench()
    yield bench
    bench.settle()
    if not request.node.stash.get(_has_failed, False):
        bench.check_resolved()


@pytest.fixture
def trigger_manager(trigger_bench: TriggerBench) -> TriggerManager:
    """Give a manager of the session ``"test"`` on the bench."""
    return trigger_bench.manager()


def assert_unstarted(
    manager: TriggerManager,
    name: str,
    *,
    waits_for: Collection[str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> TaskInstance:
    """Assert that the instance still waits; return it.

    Args:
        waits_for: exactly the triggers that it waits for.
        kwargs: exactly the trigger kwargs that it has taken.
    """
    __tracebackhide__ = True
    instance = _assert_status(manager, name, Status.UNSTARTED, kwargs)
    if waits_for is not None and instance.waits_for != frozenset(waits_for):
        _fail(manager, f"{name} waits for {_set(instance.waits_for)}, not {_set(waits_for)}")
    return instance


def assert_finished(
    manager: TriggerManager,
    name: str,
    *,
    kwargs: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> TaskInstance:
    """Assert that the instance finished, with these trigger kwargs and this result; return it."""
    __tracebackhide__ = True
    instance = _assert_status(manager, name, Status.FINISHED, kwargs)
    if result is not None and instance.metadata["result"] != result:
        _fail(manager, f"{name} returned {instance.metadata['result']!r}, not {result!r}")
    return instance


def assert_failed(
    manager: TriggerManager,
    name: str,
    *,
    error: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> TaskInstance:
    """Assert that the instance failed, and mark it resolved: the test expected it. Return it.

    Args:
        error: the exception's class name.
    """
    __tracebackhide__ = True
    instance = _assert_status(manager, name, Status.FAILED, kwargs)
    found = instance.metadata["error"]["type"]
    if error is not None and found != error:
        _fail(manager, f"{name} failed with {found}, not {error}")
    return manager.mark_instance_logs_resolved(instance)


def assert_abandoned(
    manager: TriggerManager, name: str, *, kwargs: Mapping[str, Any] | None = None
) -> TaskInstance:
    """Assert that the instance was abandoned; return it."""
    __tracebackhide__ = True
    return _assert_status(manager, name, Status.ABANDONED, kwargs)


def assert_skipped(
    manager: TriggerManager, name: str, *, kwargs: Mapping[str, Any] | None = None
) -> TaskInstance:
    """Assert that the instance was skipped; return it."""
    __tracebackhide__ = True
    return _assert_status(manager, name, Status.SKIPPED, kwargs)


def assert_replayed(
    manager: TriggerManager,
    name: str,
    *,
    by: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> TaskInstance:
    """Assert that the instance was replayed; return it.

    Args:
        by: the name of the clone that stands in for it.
    """
    __tracebackhide__ = True
    instance = _assert_status(manager, name, Status.REPLAYED, kwargs)
    clones = [clone.name for clone in manager.instances() if clone.parent == name]
    if by is not None and clones != [by]:
        _fail(manager, f"{name} was replayed as {_set(clones)}, not {by}")
    return instance


def assert_missing(manager: TriggerManager, name: str) -> None:
    """Assert that the session has no such instance."""
    __tracebackhide__ = True
    try:
        instance = manager.instance(name)
    except InstanceNotFound:
        return
    _fail(manager, f"{name} exists; it is {instance.status}")


def dump(manager: TriggerManager) -> str:
    """Return the session as text to read in a failure message."""
    told = [_told(instance) for instance in manager.instances()]
    return "\n".join([f"session {manager.session_uid!r}:", *(told or ["  no instances"])])


def _told(instance: TaskInstance) -> str:
    replays = f", replays {instance.parent}" if instance.parent else ""
    lines = [f"took {json.dumps(instance.trigger_kwargs)}"]
    lines += [f"counted {name} {count} times" for name, count in sorted(instance.counts.items())]
    if instance.waits_for:
        lines.append(f"waits for {_set(instance.waits_for)}")
    if "result" in instance.metadata:
        lines.append(f"returned {json.dumps(instance.metadata['result'])}")
    lines += [f"{log['level']}: {log['message']}" for log in instance.metadata.get("logs", ())]
    error = instance.metadata.get("error")
    if error and instance.status is Status.FAILED and error["traceback"]:
        lines.append(error["traceback"].rstrip())
    elif error:
        lines.append(f"{error['type']}: {error['message']}")
    head = f"  {instance.name}: {instance.status}, attempt {instance.attempt}{replays}"
    return "\n".join([head, indent("\n".join(lines), "    ")])


class _FrozenStorage(MemoryStorage):
    def __init__(self, clock: FrozenClock) -> None:
        super().__init__()
        self._clock = clock

    def now(self) -> float:
        return self._clock.time


class _BenchHooks:
    """Sends every instance to threads, those in a cooldown when the clock has passed it."""

    def __init__(self, plugins: Plugins, clock: FrozenClock) -> None:
        self.tasks: dict[str, TriggerTask] = {}
        self._clock = clock
        self._threads: Any = plugins.runner("threading", "triggers_core.testing")
        self._lock = threading.Lock()
        self._cooling: list[tuple[TriggerManager, TaskInstance]] = []

    @hookimpl(tryfirst=True)
    def triggers_select_runner(self) -> str:
        return "threading"

    @hookimpl(tryfirst=True)
    def triggers_run(self, manager: TriggerManager, task_instance: TaskInstance) -> bool:
        with self._lock:
            if task_instance.not_before > self._clock.time:
                self._cooling.append((manager, task_instance))
                return True
        self._threads.run(manager, task_instance)
        return True

    @hookimpl(tryfirst=True)
    def triggers_resolve_task(self, target: str) -> TriggerTask | None:
        return self.tasks.get(target)

    def release(self) -> None:
        with self._lock:
            cooling, self._cooling = self._cooling, []
        for manager, instance in cooling:
            self.triggers_run(manager, instance)

    def join_all(self, timeout: float) -> None:
        self._threads.join(timeout)


def _assert_status(
    manager: TriggerManager, name: str, status: Status, kwargs: Mapping[str, Any] | None
) -> TaskInstance:
    __tracebackhide__ = True
    try:
        instance = manager.instance(name)
    except InstanceNotFound:
        _fail(manager, f"there is no {name}; it should be {status}")
    if instance.status is not status:
        _fail(manager, f"{name} is {instance.status}; it should be {status}")
    if kwargs is not None and instance.trigger_kwargs != kwargs:
        _fail(manager, f"{name} took {instance.trigger_kwargs!r}, not {kwargs!r}")
    return instance


def _fail(manager: TriggerManager, message: str) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(f"{message}\n{dump(manager)}")


def _set(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
