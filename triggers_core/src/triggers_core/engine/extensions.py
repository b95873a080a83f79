"""What the engine asks of the plugins in use: an interface, so that it knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import pluggy

from triggers_core.rules.config import TaskConfig
from triggers_core.storage.base import DEFAULT_ALIAS, Storage


class Runner(Protocol):
    """A task runner, as far as the engine knows one."""

    name: ClassVar[str]
    capabilities: ClassVar[frozenset[str]]


class Extensions(Protocol):
    """The plugins in use. :class:`triggers_core.Plugins` says what each of these does."""

    @property
    def hook(self) -> pluggy.HookRelay: ...

    @property
    def is_observed(self) -> bool: ...

    def has_hook(self, hook_name: str) -> bool: ...

    def observe(self, observer: str, **arguments: Any) -> None: ...

    def validate_directive(self, task_name: str, directive: str, value: Any) -> bool: ...

    def check_task(self, task: TaskConfig, runner_name: str | None) -> None: ...

    def runner(self, name: str, asked_by: str = "") -> Runner: ...

    def check_target(self, target: str, asked_by: str = "") -> None: ...

    def check_runner(self, name: str, asked_by: str = "") -> None: ...

    def storage(self, alias: str = DEFAULT_ALIAS) -> Storage: ...


_defaults: list[Callable[[], Extensions]] = []


def offer_default(default: Callable[[], Extensions]) -> None:
    """Name the function that returns this process's plugins, for sessions opened without any."""
    _defaults[:] = [default]


def default_extensions() -> Extensions:
    """Return this process's plugins."""
    return _defaults[0]()
