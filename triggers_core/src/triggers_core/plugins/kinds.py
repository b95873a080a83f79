"""What is found by name: runners, managers and storages, and what a class of each must be."""

from __future__ import annotations

import inspect

from triggers_core.errors import ManagerNotFound, RunnerNotFound, StorageNotFound
from triggers_core.manager import TriggerManager
from triggers_core.plugins.registry import Registry
from triggers_core.runner import BaseTaskRunner
from triggers_core.storage.base import Storage


def runners(*, load_entry_points: bool) -> Registry[BaseTaskRunner]:
    """Return the registry of task runners."""
    return Registry(
        "task runner",
        "triggers.runners",
        _check_runner,
        RunnerNotFound,
        load_entry_points=load_entry_points,
    )


def managers(*, load_entry_points: bool) -> Registry[TriggerManager]:
    """Return the registry of managers."""
    return Registry(
        "manager",
        "triggers.managers",
        _check_manager,
        ManagerNotFound,
        load_entry_points=load_entry_points,
    )


def storages(*, load_entry_points: bool) -> Registry[Storage]:
    """Return the registry of storages."""
    return Registry(
        "storage",
        "triggers.storages",
        _check_storage,
        StorageNotFound,
        load_entry_points=load_entry_points,
    )


def _check_runner(offered: object) -> type[BaseTaskRunner]:
    if isinstance(offered, type) and issubclass(offered, BaseTaskRunner):
        if offered.__abstractmethods__:
            raise TypeError("expected a class that defines run(self, manager, task_instance)")
        try:
            inspect.signature(offered.run).bind(None, manager=None, task_instance=None)
        except (TypeError, ValueError) as error:
            raise TypeError(
                "expected a run(self, manager, task_instance) with these very names, as it is "
                f"called with keywords ({error})"
            ) from None
        return offered
    raise TypeError("expected a subclass of triggers_core.BaseTaskRunner")


def _check_storage(offered: object) -> type[Storage]:
    if isinstance(offered, type) and issubclass(offered, Storage):
        if offered.__abstractmethods__:
            missing = ", ".join(sorted(offered.__abstractmethods__))
            raise TypeError(f"expected a class that defines {missing}")
        return offered
    raise TypeError("expected a subclass of triggers_core.Storage")


def _check_manager(offered: object) -> type[TriggerManager]:
    if isinstance(offered, type) and issubclass(offered, TriggerManager):
        return offered
    raise TypeError("expected a subclass of triggers_core.TriggerManager")
