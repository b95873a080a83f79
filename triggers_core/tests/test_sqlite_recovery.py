"""Recovery on SQLite: what a pass costs, and that of many processes each takes its own."""

import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing

import pytest

from triggers_core import SqliteStorage
from triggers_core.recovery import recover_once
from triggers_core.storage.sqlite.storage import _SELECT_LOST

from .outbox import CONFIGURATION, ShopManager, plugins_with

DEADLINE_SECONDS = 30


@pytest.fixture
def plugins(outbox):
    return plugins_with(outbox)


@pytest.mark.parametrize("size", [20, 2000])
def test_a_pass_on_sqlite_costs_what_it_takes_up_and_nothing_more(tmp_path, plugins, outbox, size):
    """In instructions of SQLite's machine, with few and with many that are lost, or are not."""
    storage = SqliteStorage(tmp_path / "store.db", synchronous="NORMAL")
    manager = ShopManager("s0", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    manager.fire("paid")
    _copy_session(storage.path, size)
    with storage.read("s0") as reader:
        connection = reader._connection
    instructions = []
    connection.set_progress_handler(lambda: instructions.append(1), 1)
    found = recover_once(storage, plugins=plugins, limit=5)
    connection.set_progress_handler(None, 1)
    storage.close()

    assert len(found.dispatched) == 5
    assert 0 < len(instructions) < MOST_INSTRUCTIONS


MOST_INSTRUCTIONS = 3000
"""Of a pass that takes up five; one look at each of 2,000 instances would be more."""


def _copy_session(path, copies):
    """Make copies of the session ``s0``; half of them have an instance that is lost."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE instances SET recover_at = 1e10")
        for number in range(1, copies):
            session_id = connection.execute(
                "INSERT INTO sessions (uid, manager_name, config_digest) "
                "SELECT ?, manager_name, config_digest FROM sessions WHERE uid = 's0'",
                (f"s{number}",),
            ).lastrowid
            row = connection.execute("SELECT * FROM instances WHERE id = 1").fetchone()
            columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(instances)")]
            copy = dict(zip(columns, row, strict=True))
            copy.update(id=None, session_id=session_id, recover_at=number if number % 2 else 1e10)
            marks = ", ".join("?" for _ in copy)
            connection.execute(f"INSERT INTO instances VALUES ({marks})", tuple(copy.values()))


def test_sqlite_finds_the_lost_by_an_index(tmp_path):
    storage = SqliteStorage(tmp_path / "store.db")
    storage.take_lost(limit=1, hold_until=0.0)
    connection = sqlite3.connect(storage.path)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {_SELECT_LOST}", (2.0, 1.0, 10)).fetchall()
    connection.close()
    storage.close()

    assert "SEARCH instances USING INDEX recoverable_instances (recover_at<?)" in plan[0][3]
    assert not any("SCAN" in step for _, _, _, step in plan)


RECOVER = """
import sys
from triggers_core import BaseTaskRunner, Plugins, SqliteStorage, TriggerManager
from triggers_core.recovery import recover_once


class Outbox(BaseTaskRunner):
    name = "outbox"

    is_first = True

    def run(self, manager, task_instance):
        print(manager.session_uid, task_instance.name, flush=True)
        if self.is_first:
            self.is_first = False
            sys.stdin.readline()


class ShopManager(TriggerManager):
    name = "shop"
    default_task_runner_name = "outbox"


plugins = Plugins(load_entry_points=False)
plugins.use_runner(Outbox())
plugins.managers.add(ShopManager)
storage = SqliteStorage(sys.argv[1], synchronous="NORMAL")
while recover_once(storage, plugins=plugins, limit=5).count:
    pass
"""


def test_many_processes_that_recover_at_once_take_each_instance_once(tmp_path, plugins, outbox):
    lost = 100
    storage = SqliteStorage(tmp_path / "store.db", synchronous="NORMAL")
    manager = ShopManager("s0", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    manager.fire("paid")
    storage.close()
    _copy_session(storage.path, 2 * lost)

    command = [sys.executable, "-c", RECOVER, str(storage.path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    dispatched = Counter(process.stdout.readline().strip() for process in processes)
    for process in processes:
        process.stdin.write("all are amid a pass\n")
        process.stdin.flush()
    for process in processes:
        dispatched.update(process.communicate(timeout=DEADLINE_SECONDS)[0].splitlines())

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert dispatched == Counter(f"s{number} t_ship#0" for number in range(1, 2 * lost, 2))
