"""A SQLite file: which one is taken, and how threads, processes and signals' handlers share it."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from triggers_core import DamagedStore, SchemaVersionError, SqliteStorage, StorageError
from triggers_core.storage.base import SCHEMA_VERSION
from triggers_core.storage.sqlite import connections

DEADLINE_SECONDS = 60


class TestSqliteFile:
    def test_of_a_newer_schema_is_refused_and_left_as_it_is(self, tmp_path):
        path = tmp_path / "newer.db"
        _use(SqliteStorage(path))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        before = path.read_bytes()
        with pytest.raises(SchemaVersionError, match="pip install --upgrade triggers-core"):
            _use(SqliteStorage(path))
        assert path.read_bytes() == before

    def test_of_another_application_is_refused_and_left_as_it_is(self, tmp_path):
        path = tmp_path / "foreign.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        before = path.read_bytes()
        with pytest.raises(SchemaVersionError, match="another application"):
            _use(SqliteStorage(path))
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_that_is_no_database_is_refused_and_left_as_it_is(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("not a database, but long enough to look like one " * 10)
        before = path.read_bytes()
        with pytest.raises(StorageError, match=r"notes\.txt"):
            _use(SqliteStorage(path))
        assert path.read_bytes() == before

    @pytest.mark.parametrize("path", ["missing/data.db", "."])
    def test_that_cannot_be_opened_is_an_error_that_names_it(self, tmp_path, path):
        storage = SqliteStorage(tmp_path / path)
        for attempt in (lambda: _use(storage), lambda: list(storage.sessions())):
            with pytest.raises(StorageError, match=str(tmp_path)):
                attempt()

    def test_is_made_by_the_first_change_and_not_by_looking(self, tmp_path):
        storage = SqliteStorage(tmp_path / "data.db")
        with storage.read("s") as reader:
            assert (reader.manager_name(), reader.instances()) == (None, [])
        assert list(storage.sessions()) == []
        with pytest.raises(DamagedStore, match="configuration 'none'"):
            storage.configuration("none")
        assert list(tmp_path.iterdir()) == []
        _write(storage, "s")
        assert list(storage.sessions()) == [("s", "m")]

    def test_that_a_copy_left_without_its_write_ahead_log_gets_it_again(self, tmp_path):
        storage = SqliteStorage(tmp_path / "data.db")
        _use(storage)
        with closing(sqlite3.connect(storage.path)) as connection:
            connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        copy, reading = (SqliteStorage(tmp_path / "copy.db") for _ in range(2))
        with reading.read("s") as reader:
            _write(copy, "t")
            assert reader.manager_name() == "m"
        assert dict(copy.sessions()) == {"s": "m", "t": "m"}
        copy.close()
        reading.close()

    def test_where_there_can_be_no_write_ahead_log_is_refused(self, tmp_path, monkeypatch):
        connect = sqlite3.connect

        def connect_without_shared_memory(path, **options):
            return connect(f"{path}&vfs=unix-dotfile", **options)

        monkeypatch.setattr(connections.sqlite3, "connect", connect_without_shared_memory)
        with pytest.raises(StorageError, match="keep the file on a local disk"):
            _use(SqliteStorage(tmp_path / "data.db"))

    def test_with_a_name_too_long_is_an_error_for_those_who_look_too(self, tmp_path):
        storage = SqliteStorage(tmp_path / ("x" * 300))
        for use in (lambda: _write(storage, "s"), lambda: _read(storage, "s")):
            with pytest.raises(StorageError, match="unable to open database file"):
                use()

    def test_may_be_empty_at_first(self, tmp_path):
        path = tmp_path / "empty.db"
        path.touch()
        _use(SqliteStorage(path))
        assert list(SqliteStorage(path).sessions()) == [("s", "m")]

    def test_opens_in_many_threads_at_once_while_it_is_new(self, tmp_path):
        for attempt in range(10):
            path = tmp_path / f"{attempt}.db"
            together = threading.Barrier(6)
            errors = []

            def open_it(path=path, together=together, errors=errors):
                together.wait(DEADLINE_SECONDS)
                try:
                    _use(SqliteStorage(path))
                except Exception as error:
                    errors.append(error)

            threads = [threading.Thread(target=open_it) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE_SECONDS)
                assert not thread.is_alive()
            assert errors == []

    @pytest.mark.parametrize(("synchronous", "pragma"), [("FULL", 2), ("NORMAL", 1)])
    def test_is_synchronous_as_it_was_asked_to_be(self, tmp_path, synchronous, pragma):
        storage = SqliteStorage(tmp_path / "data.db", synchronous=synchronous)
        _use(storage)
        for _ in range(2):
            with storage.read("s") as reader:
                [found] = reader._connection.execute("PRAGMA synchronous").fetchone()
                [journal] = reader._connection.execute("PRAGMA journal_mode").fetchone()
            assert (found, journal) == (pragma, "wal")
            storage.close()

    def test_knows_two_ways_of_being_synchronous(self, tmp_path):
        with pytest.raises(StorageError, match="'FULL' or 'NORMAL', not 'OFF'"):
            SqliteStorage(tmp_path / "data.db", synchronous="OFF")


class Interruption(Exception):
    """What the handler of a signal raises, as Celery's does at a soft time limit."""


def _read(storage, session_uid):
    with storage.read(session_uid) as reader:
        reader.manager_name()


def _write_in_vain(storage, session_uid):
    with pytest.raises(ZeroDivisionError), storage.transaction(session_uid, "m"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("use", "moment", "statement"),
    [
        (lambda storage: _write(storage, "t"), "after", "BEGIN IMMEDIATE"),
        (lambda storage: _write(storage, "t"), "before", "COMMIT"),
        (lambda storage: _write(storage, "t"), "after", "COMMIT"),
        (lambda storage: _write_in_vain(storage, "t"), "before", "ROLLBACK"),
        (lambda storage: _read(storage, "s"), "after", "BEGIN"),
        (lambda storage: _read(storage, "s"), "before", "ROLLBACK"),
        (lambda storage: _read(storage, "s"), "after", "ROLLBACK"),
    ],
)
def test_a_signals_handler_that_raises_leaves_no_transaction_open(
    tmp_path, monkeypatch, use, moment, statement
):
    storage = SqliteStorage(tmp_path / "data.db")
    _write(storage, "s")
    interruptions = [Interruption()]

    def execute(connection, sql, *values):
        is_now = sql == statement and interruptions
        if is_now and moment == "before":
            raise interruptions.pop()
        done = sqlite3.Connection.execute(connection, sql, *values)
        if is_now:
            raise interruptions.pop()
        return done

    monkeypatch.setattr(connections.Connection, "execute", execute, raising=False)
    with pytest.raises(Interruption):
        use(storage)
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_SECONDS", 0.0)
    other = SqliteStorage(tmp_path / "data.db")
    for mended in (other, storage):
        _write(mended, "u")
        _read(mended, "u")
    other.close()
    storage.close()


HOLD_LOCKS = """
import fcntl, sys

with open(sys.argv[1], "r+b") as index:
    for lock in map(int, sys.argv[2:]):
        fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, lock)
    print("held", flush=True)
    sys.stdin.read()
"""
WRITE_LOCK, RECOVER_LOCK = "120", "122"
"""Bytes of the index file, as https://www.sqlite.org/walformat.html has them."""
INDEX_HEADER_BYTES = 96
"""Of no use to a reader, as while a writer changes them."""


class TestLockOfAnotherProcess:
    @pytest.fixture
    def storage(self, tmp_path):
        made = SqliteStorage(tmp_path / "data.db")
        _write(made, "s")
        yield made
        made.close()

    @pytest.fixture
    def hold(self, storage):
        """Return a function that has a process hold locks until what it returns is called."""
        started = []

        def hold(*locks):
            command = [sys.executable, "-c", HOLD_LOCKS, _index_of(storage), *locks]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            started.append(process)
            assert process.stdout.readline() == b"held\n"
            return lambda: process.communicate(timeout=DEADLINE_SECONDS)

        yield hold
        for process in started:
            process.kill()
            process.communicate(timeout=DEADLINE_SECONDS)

    def test_is_waited_for_by_a_write(self, storage, hold, monkeypatch):
        let_go = hold(WRITE_LOCK)
        monkeypatch.setattr(connections, "time", Clock(while_it_sleeps=let_go))
        _write(storage, "t")
        assert dict(storage.sessions()) == {"s": "m", "t": "m"}

    def test_is_waited_for_by_a_read_that_finds_a_dead_writers_work(
        self, storage, hold, monkeypatch
    ):
        let_go = hold(WRITE_LOCK, RECOVER_LOCK)
        with open(_index_of(storage), "r+b") as index:
            index.write(bytes(INDEX_HEADER_BYTES))
        monkeypatch.setattr(connections, "time", Clock(while_it_sleeps=let_go))
        assert list(storage.sessions()) == [("s", "m")]

    def test_is_looked_at_less_and_less_often_and_then_no_more(self, storage, hold, monkeypatch):
        let_go = hold(WRITE_LOCK)
        clock = Clock()
        monkeypatch.setattr(connections, "time", clock)
        with pytest.raises(StorageError, match="locked; this change was not made"):
            _write(storage, "t")
        assert clock.pauses == sorted(clock.pauses)
        assert (clock.pauses[0], clock.pauses[-1]) == connections.BUSY_PAUSES_SECONDS
        assert clock.monotonic() == pytest.approx(connections.BUSY_TIMEOUT_SECONDS, abs=0.1)

        let_go()
        assert list(storage.sessions()) == [("s", "m")]
        _write(storage, "t")


class Clock:
    """Stands in for the module ``time``: whoever sleeps goes on at once, and finds it later."""

    def __init__(self, while_it_sleeps=lambda: None):
        self.pauses = []
        self._while_it_sleeps = while_it_sleeps

    def monotonic(self):
        return sum(self.pauses)

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self._while_it_sleeps()


COUNT_UP = """
import sys
from triggers_core import SqliteStorage

path, turns = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
storage = SqliteStorage(path, synchronous="NORMAL")
for _ in range(turns):
    with storage.transaction("s", "m") as unit:
        n = unit.latest_kwargs(["counter"]).get("counter", {"n": 0})["n"]
        unit.remember_trigger("counter", {"n": n + 1}, at=0.0)
"""


def test_processes_that_open_a_new_file_at_once_lose_no_update(tmp_path):
    processes, turns = 3, 100
    command = [sys.executable, "-c", COUNT_UP, str(tmp_path / "data.db"), str(turns)]
    counting = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in counting:
        assert process.stdout.readline() == "ready\n"
    for process in counting:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in counting:
        process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0
    with SqliteStorage(tmp_path / "data.db").read("s") as reader:
        assert reader.latest_kwargs(["counter"]) == {"counter": {"n": processes * turns}}


def _use(storage):
    _write(storage, "s")
    storage.close()


def _write(storage, session_uid):
    with storage.transaction(session_uid, "m"):
        pass


def _index_of(storage):
    return f"{storage.path}-shm"
