"""Plugins of a test's own, both storages, a clock that a test moves, and a runner that waits.

And what the files of tests on one subject share; what that is made of stands in modules beside.
"""

import sqlite3
from collections import deque
from contextlib import closing

import pytest
from typer.testing import CliRunner

from triggers_core import (
    BaseTaskRunner,
    MemoryStorage,
    Plugins,
    SqliteStorage,
    TriggerManager,
    execute,
    hookimpl,
    trigger_task,
)
from triggers_core.cli import commands
from triggers_core.task import as_task
from triggers_threading import ThreadingTaskRunner

from .hooked import Recorder
from .hostile import no_hang
from .outbox import Outbox
from .permit import CONFIGURATION, break_down, close
from .shop import BILL, SHIP

DEADLINE_SECONDS = 30.0
"""Until threads that are still busy count as hanging."""

in_memory = pytest.mark.parametrize("storage", ["memory"], indirect=True)
"""Marks tests whose rule has nothing to do with where sessions are kept."""


class HeldRunner(BaseTaskRunner):
    """Holds what it is handed until the test plays the worker, in the test's own thread."""

    name = "held"

    def __init__(self):
        self.held = deque()

    def run(self, manager, task_instance):
        self.held.append((manager, task_instance))

    @property
    def names(self):
        """The instances held, in the order in which they were dispatched."""
        return [instance.name for _, instance in self.held]

    def work_once(self):
        """Run what was dispatched first; return the instance as it ended."""
        manager, instance = self.held.popleft()
        return execute(manager, instance, resolve=self.resolve)

    def work(self):
        """Run what is held, and what comes of it, to the end."""
        while self.held:
            self.work_once()


class HeldManager(TriggerManager):
    name = "tested"
    default_task_runner_name = "held"


class Tasks(dict):
    """Target → the test's task of that name. What is not in it is left to the import."""

    @hookimpl
    def triggers_resolve_task(self, target):
        return as_task(self[target], target) if target in self else None


class MovableClock:
    """Makes a storage's time run ahead of the real one."""

    ahead = 0.0

    def advance(self, seconds):
        self.ahead += seconds

    def now(self):
        return super().now() + self.ahead


class ClockedMemoryStorage(MovableClock, MemoryStorage):
    """Memory, with a clock to move."""


class ClockedSqliteStorage(MovableClock, SqliteStorage):
    """SQLite, with a clock to move."""


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    """Have commands write as to a file, whatever width the terminal that runs the tests has."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def tasks():
    """Give a dict of target → task, to put a test's tasks in."""
    return Tasks()


@pytest.fixture
def runner():
    """Give the runner ``held``: the default of ``manager``."""
    return HeldRunner()


@pytest.fixture
def threads():
    """Give the runner ``threading``; what it still runs at the end is waited for."""
    runner = ThreadingTaskRunner()
    yield runner
    runner.join_all(DEADLINE_SECONDS)


@pytest.fixture
def plugins(tasks, runner, threads):
    """Give plugins without entry points: ``tasks``, both runners and the manager's class."""
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(runner)
    plugins.use_runner(threads)
    plugins.managers.add(HeldManager)
    plugins.register(tasks, "tasks")
    return plugins


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    """Give each kind of storage in turn; ``storage.advance(seconds)`` moves its clock."""
    if request.param == "memory":
        storage = ClockedMemoryStorage()
    else:
        storage = ClockedSqliteStorage(tmp_path / "store.db", synchronous="NORMAL")
    yield storage
    storage.close()


@pytest.fixture
def make_manager(storage, plugins):
    """Return a function (session uid, manager class) → a manager on this storage."""

    def make(session_uid="s", manager_class=HeldManager):
        return manager_class(session_uid, storage=storage, plugins=plugins)

    return make


@pytest.fixture
def manager(make_manager):
    """Give a manager of the session ``"s"``."""
    return make_manager()


@pytest.fixture
def stored(storage):
    """Return a function that gives all that the storage holds, to compare before and after."""
    return _stored_in_file if isinstance(storage, SqliteStorage) else _stored_in_memory


def _stored_in_file(storage):
    list(storage.sessions())  # makes the file, unless there is one
    with closing(sqlite3.connect(storage.path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for (table,) in tables.fetchall()
        }


def _stored_in_memory(storage):
    sessions = {
        uid: {
            "manager": session.manager_name,
            "closing": session.closing,
            "configuration": session.configuration.to_json(),
            "rows": {key: row.values for key, row in session.rows.items()},
            "numbers": dict(session.next_numbers),
            "latest": dict(session.latest),
            "firings": {name: list(logged) for name, logged in session.firings.items()},
            "outcomes": dict(session.outcomes),
        }
        for uid, session in storage._sessions.items()
    }
    return {"sessions": sessions, "configurations": dict(storage._bodies)}


@pytest.fixture
def triggers(plugins, storage):
    """Return a function that runs the command line on the storage, and gives the result."""
    plugins.add_storage(storage)

    def triggers(*arguments, **environment):
        return CliRunner().invoke(commands.build(plugins), arguments, env=environment)

    return triggers


@pytest.fixture
def case(manager):
    """Give a session of the permit."""
    manager.update_configuration(CONFIGURATION)
    return manager


@pytest.fixture
def failed(case, runner, tasks):
    """Give a session whose instance t_close#0 has failed."""
    tasks["close"] = break_down
    case.fire("applied")
    case.fire("fee_paid")
    runner.work()
    tasks["close"] = tasks["archive"] = close
    return case


@pytest.fixture
def task(tasks):
    """Return a function that makes a function what ``SHIP`` runs."""

    def make(function, **settings):
        tasks["shop.ship"] = trigger_task(**settings)(function)

    return make


@pytest.fixture
def ship(manager, runner):
    """Return a function that fires ``paid`` and executes ``t_ship#0``; it returns its end."""

    def ship(trigger_kwargs=None, **directives):
        manager.update_configuration({"t_ship": {**SHIP, **directives}, "t_bill": BILL})
        manager.fire("paid", trigger_kwargs)
        return runner.work_once()

    return ship


@pytest.fixture
def outbox():
    """Give the runner ``outbox``, whose messages a test delivers by hand."""
    return Outbox()


@pytest.fixture
def recorder(plugins):
    """Give a plugin of ``plugins`` that hears every hook."""
    recorder = Recorder()
    plugins.register(recorder, "recorder")
    return recorder


@pytest.fixture
def never_hang():
    """Fail a test that takes far too long, wherever it stands."""
    with no_hang():
        yield
