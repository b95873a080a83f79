"""A SQLite file that the first release wrote: this one upgrades it in place, once and whole."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from triggers_core import Closing, MemoryStorage, SqliteStorage, Status, trigger_task
from triggers_core.recovery import recover_once
from triggers_core.storage.base import SCHEMA_VERSION
from triggers_core.storage.row import COLUMNS
from triggers_core.storage.sqlite import schema

from .conftest import HeldManager

WRITTEN = (Path(__file__).parent / "version_1.sql").read_text(encoding="utf-8")
OLD_COLUMNS = ", ".join(column for column in COLUMNS if column != "counts")
PROCESSES = 5
DEADLINE_SECONDS = 60

OPENED_ANEW = """
import sys
from triggers_core import SqliteStorage

with SqliteStorage(sys.argv[1]).transaction("waiting", "kept") as unit:
    assert unit.closing() is None
    assert [each.name for each in unit.waiting_for("page")] == ["check#0"]
"""

KILLED_AT_A_STATEMENT = """
import os, signal, sys
from triggers_core import SqliteStorage
from triggers_core.storage.sqlite import connections, file

left = int(sys.argv[2])

def told(statement):
    global left
    is_upgrading = statement.startswith("BEGIN IMMEDIATE") or left < int(sys.argv[2])
    if is_upgrading and left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= is_upgrading

class Traced(connections.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_trace_callback(told)

file.Connection = Traced
with SqliteStorage(sys.argv[1]).read("waiting"):
    print("opened")
"""


class KeptManager(HeldManager):
    name = "kept"


@pytest.fixture
def old(tmp_path):
    """The path of a file as the first release wrote it."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(WRITTEN)
    assert facts(path)["version"] == 1
    return path


@pytest.fixture
def session_in(plugins):
    plugins.managers.add(KeptManager)
    return lambda storage, uid: KeptManager(uid, storage=storage, plugins=plugins)


def facts(path):
    """What is in the file, in whatever version, without the upgrade's own columns."""
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        columns = "id, uid, manager_name, config_digest"
        tables = {
            table: connection.execute(f"SELECT {wanted} FROM {table} ORDER BY 1, 2").fetchall()
            for table, wanted in [
                ("configurations", "digest, body"),
                ("sessions", columns),
                ("instances", f"id, session_id, {OLD_COLUMNS}"),
                ("waiting", "*"),
                ("triggers", "session_id, name, kwargs, fired_at"),
                ("events", "*"),
            ]
        }
    return {"version": version, **tables}


def test_there_is_a_step_to_each_version():
    assert len(schema.STEPS) == SCHEMA_VERSION


def test_what_it_held_is_there_and_nothing_is_closed(old):
    before = facts(old)
    storage = SqliteStorage(old)
    for uid in ("waiting", "running", "failed", "over"):
        with storage.read(uid) as reader:
            assert reader.closing() is None
            assert len(reader.instances()) == sum(
                row[1] == reader._id for row in before["instances"]
            )
    storage.close()
    assert facts(old) == {**before, "version": SCHEMA_VERSION}


def test_an_upgraded_file_has_the_tables_of_a_new_one(old, tmp_path):
    def shape(path):
        SqliteStorage(path).now()
        with SqliteStorage(path).transaction("s", "m"):
            pass
        with closing(sqlite3.connect(path)) as connection:
            return {
                table: connection.execute(f"PRAGMA table_info({table})").fetchall()
                for (table,) in connection.execute("SELECT name FROM sqlite_master").fetchall()
            }

    assert shape(old) == shape(tmp_path / "new.db")


def test_its_sessions_go_on_from_where_they_stood(old, session_in, tasks, runner):
    tasks["app.check"] = tasks["app.decide"] = tasks["app.remind"] = trigger_task(lambda _: {})
    storage = SqliteStorage(old)

    waiting = session_in(storage, "waiting")
    first = waiting.fire("opened", {"by": "Zoë"}, event_id="letter-1")
    assert first.created == ("check#0", "remind#0")
    assert waiting.fire("page", {"n": 1}).scheduled == ("check#0",)
    runner.work()
    assert waiting.instance("check#0").status is Status.FINISHED
    assert waiting.instance("check#0").trigger_kwargs["opened"] == {"by": "Zoë"}

    failed = session_in(storage, "failed")
    assert failed.instance("check#0").metadata["error"]["type"] == "LookupError"
    assert failed.instance("check#1").metadata["by"] == "carl"
    clone = failed.replay_failed_instance("check#0")
    runner.work()
    assert failed.instance(clone.name).status is Status.FINISHED
    assert failed.instance("decide#0").status is Status.FINISHED


def test_what_ran_or_was_queued_when_it_was_written_is_recovered(old, plugins, session_in, tasks):
    tasks["app.check"] = tasks["app.remind"] = trigger_task(lambda _: {})
    storage = SqliteStorage(old)
    recovered = recover_once(storage, plugins=plugins)
    assert ("running", "check#1") in recovered.rerun
    assert ("running", "check#2") in recovered.dispatched
    assert ("waiting", "remind#0") in recovered.dispatched
    assert recovered.errors == []


def test_its_sessions_can_be_closed(old):
    storage = SqliteStorage(old)
    with storage.transaction("waiting", "kept") as unit:
        unit.close_session(Closing("closed", 1.0))
    storage.close()
    with SqliteStorage(old).read("waiting") as reader:
        assert reader.closing() == Closing("closed", 1.0)


def test_of_many_processes_that_open_it_at_once_each_does(old):
    before = facts(old)
    command = [sys.executable, "-c", OPENED_ANEW, str(old)]
    processes = [subprocess.Popen(command) for _ in range(PROCESSES)]
    assert [process.wait(DEADLINE_SECONDS) for process in processes] == [0] * PROCESSES
    assert facts(old) == {**before, "version": SCHEMA_VERSION}


def test_a_process_killed_amid_the_upgrade_leaves_the_old_file_or_the_new_one(old):
    before, killed_amid = facts(old), 0
    while facts(old) == before:
        killed_amid += 1
        command = [sys.executable, "-c", KILLED_AT_A_STATEMENT, str(old), str(killed_amid)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=DEADLINE_SECONDS)
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert killed_amid > len(schema.STEPS)
    assert facts(old) == {**before, "version": SCHEMA_VERSION}


def test_memory_needs_none():
    with MemoryStorage().read("s") as reader:
        assert reader.closing() is None
