"""A SQLite file that is removed or replaced beneath a running process: nothing is acknowledged that
went into a file which nobody else sees."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from triggers_core import OutcomeUnknown, SqliteStorage, StorageError

DEADLINE_SECONDS = 60


@pytest.fixture
def storage(tmp_path):
    """Give a storage whose file has the session ``before``, and is open."""
    storage = SqliteStorage(tmp_path / "store.db")
    write(storage, "before")
    yield storage
    storage.close()


@pytest.fixture
def backup(storage, tmp_path):
    """Give the path of a copy, made as the guide says; what is written from now on is not in it."""
    path = tmp_path / "backup.db"
    with closing(sqlite3.connect(storage.path)) as connection:
        connection.execute("VACUUM INTO ?", (str(path),))
    write(storage, "after the backup")
    return path


def write(storage, session_uid):
    with storage.transaction(session_uid, "m"):
        pass


def look(storage):
    with storage.read("before") as reader:
        reader.instances()


def remove(storage):
    for path in files_of(storage):
        path.unlink(missing_ok=True)


def files_of(storage):
    return [storage.path.with_name(storage.path.name + end) for end in ("", "-wal", "-shm")]


def in_a_thread(do):
    """Return what it returns, or the error that it raises, in a thread of its own."""
    results = []

    def catch():
        try:
            results.append(do())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=catch)
    thread.start()
    thread.join(DEADLINE_SECONDS)
    return results[0]


def kept_in(path):
    """Return the sessions in the file, as any other process sees them."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [uid for (uid,) in connection.execute("SELECT uid FROM sessions ORDER BY id")]


USES = {
    "a transaction": lambda storage: write(storage, "lost"),
    "a read": look,
    "a list of sessions": lambda storage: list(storage.sessions()),
    "a recovery": lambda storage: storage.take_lost(limit=1, hold_until=0.0),
    "a configuration": lambda storage: storage.configuration("none"),
}
uses = pytest.mark.parametrize("use", USES.values(), ids=USES)


class TestRemoved:
    @uses
    @pytest.mark.parametrize("where", [lambda do: do(), in_a_thread], ids=["here", "new thread"])
    def test_it_is_an_error_that_says_what_to_do_and_makes_no_other(self, storage, use, where):
        remove(storage)
        for _ in range(2):
            try:
                error = where(lambda: use(storage))
            except StorageError as raised:
                error = raised
            assert isinstance(error, StorageError)
            assert str(storage.path) in str(error)
            assert "the file that was open is no longer there" in str(error)
            assert "this change was not made" in str(error)
            assert "Restore a backup" in str(error)
        assert not storage.path.exists()

    def test_what_was_moved_away_is_used_again_when_it_is_back(self, storage, tmp_path):
        storage.path.rename(tmp_path / "elsewhere")
        with pytest.raises(StorageError, match="no longer there"):
            write(storage, "lost")
        (tmp_path / "elsewhere").rename(storage.path)
        write(storage, "again")
        assert kept_in(storage.path) == ["before", "again"]

    def test_a_backup_in_its_place_is_used(self, storage, backup):
        remove(storage)
        with pytest.raises(StorageError, match="no longer there"):
            write(storage, "lost")
        backup.rename(storage.path)
        write(storage, "again")
        assert kept_in(storage.path) == ["before", "again"]

    def test_a_storage_that_was_closed_begins_with_a_new_one(self, storage):
        storage.close()
        remove(storage)
        assert list(storage.sessions()) == []
        write(storage, "new")
        assert kept_in(storage.path) == ["new"]

    def test_it_is_an_error_for_a_thread_that_comes_when_all_others_are_gone(self, tmp_path):
        storage = SqliteStorage(tmp_path / "store.db")
        in_a_thread(lambda: write(storage, "before"))
        remove(storage)
        error = in_a_thread(lambda: write(storage, "lost"))
        assert "no longer there" in str(error)
        assert not storage.path.exists()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
    def test_it_is_an_error_in_a_forks_child_too(self, storage):
        remove(storage)
        pid = os.fork()
        if pid == 0:
            try:
                write(storage, "lost")
            except StorageError:
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert not storage.path.exists()


class TestReplaced:
    @uses
    def test_by_a_backup_it_is_the_new_one_that_is_used(self, storage, backup, use):
        remove(storage)
        backup.rename(storage.path)
        if use is USES["a configuration"]:
            with pytest.raises(StorageError, match="configuration 'none'"):
                use(storage)
        else:
            use(storage)
        write(storage, "again")
        assert "after the backup" not in dict(storage.sessions())
        assert kept_in(storage.path)[-1] == "again"

    @pytest.mark.parametrize("where", [lambda do: do(), in_a_thread], ids=["here", "new thread"])
    def test_beside_the_old_ones_log_it_is_refused_and_stays_whole(self, storage, backup, where):
        content = backup.read_bytes()
        backup.replace(storage.path)
        for use in USES.values():
            try:
                error = where(lambda use=use: use(storage))
            except StorageError as raised:
                error = raised
            assert str(storage.path) in str(error)
            assert "has been replaced, and the write-ahead log of the old one" in str(error)
            assert "this change was not made" in str(error)
        assert storage.path.read_bytes() == content

        for path in files_of(storage)[1:]:
            path.unlink()
        write(storage, "again")
        assert kept_in(storage.path) == ["before", "again"]

    def test_a_thread_that_has_the_old_one_open_harms_nothing_when_it_ends(self, storage, backup):
        is_open, may_end = threading.Event(), threading.Event()

        def hold():
            write(storage, "before")
            is_open.set()
            may_end.wait(DEADLINE_SECONDS)

        thread = threading.Thread(target=hold)
        thread.start()
        assert is_open.wait(DEADLINE_SECONDS)
        remove(storage)
        backup.rename(storage.path)
        write(storage, "again")
        may_end.set()
        thread.join(DEADLINE_SECONDS)
        write(storage, "and again")
        assert kept_in(storage.path) == ["before", "again", "and again"]


class TestInATransaction:
    @pytest.fixture(params=["removed", "replaced"])
    def swap(self, request, storage, backup):
        def swap():
            remove(storage)
            if request.param == "replaced":
                backup.rename(storage.path)

        return swap

    def test_it_is_not_acknowledged(self, storage, swap):
        with (
            pytest.raises(OutcomeUnknown, match="look at the session first") as raised,
            storage.transaction("lost", "m"),
        ):
            swap()
        assert str(storage.path) in str(raised.value)

    def test_not_even_if_it_is_being_committed(self, storage, swap):
        with storage.read("before") as reader:
            connection = reader._connection
        connection.set_trace_callback(lambda sql: swap() if sql == "COMMIT" else None)
        with pytest.raises(OutcomeUnknown):
            write(storage, "lost")

    def test_what_fails_by_itself_raises_its_own_error(self, storage, swap):
        with pytest.raises(ZeroDivisionError), storage.transaction("lost", "m"):
            swap()
            raise ZeroDivisionError


FIRE_WHEN_TOLD = """
import sys
from triggers_core import SqliteStorage, StorageError

storage = SqliteStorage(sys.argv[1])
for line in sys.stdin:
    try:
        with storage.transaction(line.strip(), "m"):
            pass
        print("done", flush=True)
    except StorageError as error:
        print(error, flush=True)
"""


@pytest.fixture
def other(tmp_path):
    """Return a function that has another process write a session, and says what it answers."""
    command = [sys.executable, "-c", FIRE_WHEN_TOLD, str(tmp_path / "store.db")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write_there(session_uid):
        print(session_uid, file=process.stdin, flush=True)
        return process.stdout.readline().strip()

    yield write_there
    process.communicate(timeout=DEADLINE_SECONDS)


class TestOfTwoProcesses:
    def test_all_that_either_is_told_is_done_is_in_the_file_that_is_there(
        self, storage, backup, other
    ):
        assert other("theirs") == "done"
        remove(storage)
        assert "no longer there" in other("lost")
        backup.rename(storage.path)
        write(storage, "ours again")
        assert other("theirs again") == "done"
        assert kept_in(storage.path) == ["before", "ours again", "theirs again"]

    def test_a_backup_is_whole_while_both_write(self, storage, other, tmp_path):
        for number in range(3):
            assert other(f"theirs {number}") == "done"
            write(storage, f"ours {number}")
            copy = tmp_path / f"{number}.db"
            with closing(sqlite3.connect(storage.path)) as connection:
                connection.execute("VACUUM INTO ?", (str(copy),))
            assert kept_in(copy) == list(dict(storage.sessions()))

    def test_a_backup_is_restored_into_the_file_while_both_have_it_open(
        self, storage, backup, other
    ):
        assert other("theirs") == "done"
        with (
            closing(sqlite3.connect(backup)) as source,
            closing(sqlite3.connect(storage.path)) as store,
        ):
            source.backup(store)
        assert list(dict(storage.sessions())) == ["before"]
        assert other("theirs again") == "done"
        write(storage, "ours again")
        assert kept_in(storage.path) == ["before", "theirs again", "ours again"]

    def test_a_backup_is_restored_while_both_are_stopped(self, storage, backup):
        storage.close()
        remove(storage)
        shutil.copy(backup, storage.path)
        write(SqliteStorage(storage.path), "again")
        assert kept_in(storage.path) == ["before", "again"]
