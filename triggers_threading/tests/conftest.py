"""Sessions on this runner, whose tasks are functions of the test."""

import pytest

from triggers_core import Plugins, SqliteStorage, TriggerManager, hookimpl
from triggers_threading import ThreadingTaskRunner


class ThreadingManager(TriggerManager):
    name = "threading-tests"
    default_task_runner_name = "threading"


class Targets:
    """Resolves a ``run`` target to the test's task of that name."""

    def __init__(self, tasks):
        self._tasks = tasks

    @hookimpl
    def triggers_resolve_task(self, target):
        return self._tasks[target]


@pytest.fixture
def make_session(tmp_path):
    """Return a function (configuration, tasks) → (manager, runner), on SQLite unless told."""
    storages = []

    def make(configuration, tasks, *, max_workers=4, storage=None):
        runner = ThreadingTaskRunner(max_workers)
        plugins = Plugins(load_entry_points=False)
        plugins.use_runner(runner)
        plugins.register(Targets(tasks))
        storage = storage or SqliteStorage(tmp_path / f"{len(storages)}.db", synchronous="NORMAL")
        storages.append(storage)
        manager = ThreadingManager("session", storage=storage, plugins=plugins)
        manager.update_configuration(configuration)
        return manager, runner

    yield make
    for storage in storages:
        storage.close()
