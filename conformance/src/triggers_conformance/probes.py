"""What checks put in a runner's way to see what it does with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

from triggers_core import (
    BaseTaskRunner,
    Plugins,
    TaskContext,
    TaskInstance,
    TriggerManager,
    execute,
    hookimpl,
)


class Elsewhere(BaseTaskRunner):
    """Another runner beside the one under test: it runs its work at once, and knows whose."""

    name: ClassVar[str] = "triggers_conformance_elsewhere"

    def __init__(self) -> None:
        self._ran: list[tuple[str, str]] = []

    @classmethod
    def of(cls, plugins: Plugins) -> Elsewhere:
        """Return the one of these plugins, made at the first call."""
        if cls.name not in plugins.runners.names():
            plugins.use_runner(cls())
        found = plugins.runner(cls.name)
        assert isinstance(found, Elsewhere)
        return found

    def run(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        self._ran.append((task_instance.session_uid, task_instance.name))
        execute(manager, task_instance, resolve=self.resolve)

    def instances(self, session_uid: str) -> set[str]:
        """Return the names of what came here of one session."""
        return {name for uid, name in self._ran if uid == session_uid}


class NamedManager(TriggerManager):
    """A manager class with a name of its own; worker processes know it by its entry point."""

    name = "triggers-conformance"


class ExecutionSpy:
    """Notes which instances the plugins are asked to execute."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @hookimpl(tryfirst=True)
    def triggers_execute(self, context: TaskContext) -> None:
        self.names.append(context.instance.name)


class SealedKwargs(Mapping[str, Any]):
    """Kwargs that notice when they are read."""

    def __init__(self, kwargs: Mapping[str, Any], used: list[str]) -> None:
        self._kwargs = kwargs
        self._used = used

    def __getitem__(self, key: str) -> Any:
        self._notice()
        return self._kwargs[key]

    def __iter__(self) -> Iterator[str]:
        self._notice()
        return iter(self._kwargs)

    def __len__(self) -> int:
        self._notice()
        return len(self._kwargs)

    def _notice(self) -> None:
        self._used.append("read the kwargs of the instance")


class SealedInstance(TaskInstance):
    """An instance that notices when it is pickled."""

    def __init__(self, used: list[str], values: Mapping[str, Any]) -> None:
        super().__init__(**values)
        object.__setattr__(self, "_used", used)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        used: list[str] = getattr(self, "_used")  # noqa: B009 - no field of the dataclass
        used.append("pickled the instance")
        raise TypeError("a live instance cannot be sent; send a reference to it")


def public_only(manager: TriggerManager) -> set[str]:
    """Deny everybody but the framework the manager's private names; return those asked for."""
    touched: set[str] = set()
    own_class = type(manager)
    friends = {base.__module__ for base in own_class.__mro__}

    class PublicOnly(own_class):  # type: ignore[valid-type, misc]
        name = own_class.name

        def __getattribute__(self, name: str) -> Any:
            if name.startswith("_") and not name.startswith("__"):
                caller = sys._getframe(1).f_globals.get("__name__", "")
                if caller not in friends and not caller.startswith("triggers_core."):
                    touched.add(name)
                    raise AttributeError(f"{name!r} is private to the manager")
            return super().__getattribute__(name)

    PublicOnly.__name__ = own_class.__name__
    manager.__class__ = PublicOnly
    return touched


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
