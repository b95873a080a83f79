"""SQLite, and a process that is killed while it writes: the store opens, is whole, has all that was
acknowledged, and nothing that is half applied."""

import json
import mmap
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing

import pytest

from triggers_core import SqliteStorage, TriggerManager

KILLS_IN_TRANSACTION = 200
KILLS_PER_STORE = 40
MOST_KILLS = 20 * KILLS_IN_TRANSACTION  # on a busy machine most processes die before they fire
LATEST_KILL_SECONDS = 0.03
"""After the process was made; by then it has opened the store and fired some times."""
SEED = 7

NURSERY = '''
"""Forks a process that fires for ever, for each line that it is given: a path and a number."""

import json
import mmap
import os
import sys
from contextlib import contextmanager

from triggers_core import BaseTaskRunner, MemoryStorage, Plugins, SqliteStorage, TriggerManager

IN_TRANSACTION = mmap.mmap(int(sys.argv[1]), 1)
ACKNOWLEDGED = int(sys.argv[2])
CONFIGURATION = {
    "t_each": {"after": ["start"], "andEvery": "each", "run": "task"},
    "t_both": {"after": ["each"], "andEvery": "other", "run": "task"},
}


class Idle(BaseTaskRunner):
    name = "idle"

    def run(self, manager, task_instance):
        pass


class IdleManager(TriggerManager):
    name = "idle"
    default_task_runner_name = "idle"


class ToldStorage(SqliteStorage):
    @contextmanager
    def transaction(self, session_uid, manager_name):
        with super().transaction(session_uid, manager_name) as unit:
            IN_TRANSACTION[0] = 1
            yield unit
        IN_TRANSACTION[0] = 0


def open_session(storage):
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(Idle())
    manager = IdleManager("s", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    manager.fire("start", event_id="start")
    return manager


def fire_for_ever(path, number):
    manager = open_session(ToldStorage(path))
    while True:
        manager.fire_many([("each", {"n": number}, str(number)), ("other", {"n": number})])
        os.write(ACKNOWLEDGED, b"%d\\n" % number)
        number += 1


open_session(MemoryStorage())  # so that all is imported
for line in sys.stdin:
    IN_TRANSACTION[0] = 0
    pid = os.fork()
    if pid == 0:
        fire_for_ever(*json.loads(line))
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("gone", flush=True)
'''


class Nursery:
    """Where the processes come from that are killed: they need no start of Python each."""

    def __init__(self):
        with tempfile.TemporaryFile() as flag:
            flag.write(b"\0")
            flag.flush()
            self._in_transaction = mmap.mmap(flag.fileno(), 1)
            self._acknowledged, told = os.pipe()
            os.set_blocking(self._acknowledged, False)
            self._process = subprocess.Popen(
                [sys.executable, "-c", NURSERY, str(flag.fileno()), str(told)],
                pass_fds=[flag.fileno(), told],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            os.close(told)

    def fire_and_die(self, path, first_number, seconds):
        """Have a process fire, and kill it after that time.

        Returns:
            The numbers that it was told are recorded, and whether it died in a transaction.
        """
        print(json.dumps([str(path), first_number]), file=self._process.stdin, flush=True)
        pid = int(self._process.stdout.readline())
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        assert self._process.stdout.readline() == "gone\n"
        acknowledged = b""
        while chunk := self._read():
            acknowledged += chunk
        return [int(number) for number in acknowledged.split()], bool(self._in_transaction[0])

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        os.close(self._acknowledged)
        self._in_transaction.close()

    def _read(self):
        try:
            return os.read(self._acknowledged, 65536)
        except BlockingIOError:
            return b""


@pytest.fixture
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


def recorded_in(path):
    """Open the store as any process would; return the numbers recorded, each checked to be wholly
    so."""
    storage = SqliteStorage(path)
    with storage.transaction("s", "idle"):
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with storage.read("s") as reader:
        each, both = (reader.instances(task_name=name) for name in ("t_each", "t_both"))
        numbers = [
            instance.trigger_kwargs["each"]["n"] for instance in each if _took_each(instance)
        ]
        latest = reader.latest_kwargs(["each", "other"])
        assert numbers == list(range(len(numbers)))
        assert [instance.trigger_kwargs["other"]["n"] for instance in both] == numbers
        assert {each["n"] for each in latest.values()} == set(numbers[-1:])
        assert all(reader.outcome(str(number)) for number in numbers)
        assert reader.outcome(str(len(numbers))) is None
        assert reader.waiting_for("other") == []
        assert len(reader.waiting_for("each")) == len(each) - len(numbers)
    storage.close()
    return numbers


def _took_each(instance):
    return "each" in instance.trigger_kwargs


def test_a_kill_in_a_transaction_leaves_a_whole_store_with_all_that_was_acknowledged(
    nursery, tmp_path
):
    times = random.Random(SEED)
    killed = killed_in_transaction = fired = 0
    while killed_in_transaction < KILLS_IN_TRANSACTION:
        assert killed < MOST_KILLS, f"of {killed} kills, {killed_in_transaction} hit a transaction"
        path = tmp_path / f"{killed}.db"
        recorded = []
        for _ in range(KILLS_PER_STORE):
            acknowledged, in_transaction = nursery.fire_and_die(
                path, len(recorded), times.uniform(0.0, LATEST_KILL_SECONDS)
            )
            before, recorded = recorded, recorded_in(path)
            assert acknowledged == list(range(len(before), len(before) + len(acknowledged)))
            assert recorded[: len(before) + len(acknowledged)] == [*before, *acknowledged]
            assert len(recorded) <= len(before) + len(acknowledged) + 1
            killed += 1
            killed_in_transaction += in_transaction
        fired += len(recorded)
    print(f"{killed} kills, {killed_in_transaction} of them in a transaction, {fired} fires")
    assert fired


CONFIGURE_AND_DIE = """
import os, signal, sys
from triggers_core.cli.main import main
from triggers_core.storage.sqlite.session import SqliteWork

saves_left = int(sys.argv.pop(1))
save = SqliteWork.save

def save_or_die(work, instance):
    global saves_left
    save(work, instance)
    saves_left -= 1
    if saves_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

SqliteWork.save = save_or_die
main()
"""
STEPS_BEFORE = {
    "close": {"after": ["applied", "paid"], "run": "x", "using": "threading"},
    "remind": {"after": ["applied", "evening"], "run": "x", "using": "threading"},
}
STEPS_AFTER = {"close": {"after": ["applied", "paid", "sent"], "run": "x", "using": "threading"}}
INSTANCES_A_SESSION = 2


@pytest.mark.parametrize("saves_until_it_dies", [1, 2, 3, 4, 5])
def test_a_kill_while_sessions_are_configured_leaves_each_as_it_was_or_as_it_is_to_be(
    tmp_path, saves_until_it_dies
):
    storage = SqliteStorage(tmp_path / "store.db", synchronous="NORMAL")
    sessions = [TriggerManager(f"s{number}", storage=storage) for number in range(3)]
    for manager in sessions:
        manager.update_configuration(STEPS_BEFORE)
        manager.fire("applied")
    storage.close()
    (tmp_path / "steps.json").write_text(json.dumps(STEPS_AFTER))

    def configure(saves):
        how = ("--all-open", "--replace", "--abandon-retired", "--update-instances")
        command = ("configure", "steps.json", *how, "--storage", "sqlite:///store.db")
        program = (sys.executable, "-c", CONFIGURE_AND_DIE, str(saves))
        return subprocess.run([*program, *command], cwd=tmp_path, check=False).returncode

    def stand(manager):
        waits = {each.name: sorted(each.waits_for) for each in manager.open_instances()}
        return sorted(manager.configuration()), waits

    before = (["close", "remind"], {"close#0": ["paid"], "remind#0": ["evening"]})
    after = (["close"], {"close#0": ["paid", "sent"]})

    assert configure(saves_until_it_dies) == -signal.SIGKILL
    changed = (saves_until_it_dies - 1) // INSTANCES_A_SESSION
    assert [stand(each) for each in sessions] == [after] * changed + [before] * (3 - changed)
    assert configure(-1) == 0
    assert [stand(each) for each in sessions] == [after] * 3
