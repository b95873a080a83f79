"""A SQLite store that this user may only read: it can be looked at; a change is refused clearly.

Whoever may write everything, as root may, is an ordinary user here for as long as a test looks.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from triggers_core import SqliteStorage, StorageError, TriggerManager
from triggers_core.cli import commands

from .conftest import HeldManager

NOBODY = 65534
ROOT = 0
DEADLINE_SECONDS = 60
WRITTEN_BEFORE = (Path(__file__).parent / "version_1.sql").read_text(encoding="utf-8")
CONFIGURATION = {"t": {"after": ["a", "b"], "run": "task"}}

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no such users")


@contextmanager
def an_ordinary_user():
    """Be one whom the system refuses what the files' modes do not allow."""
    before = os.geteuid()
    if before == ROOT:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def forbid(path, mode):
    """Set the mode; give root's file to the ordinary user, whom the mode then binds."""
    path.chmod(mode)
    if os.geteuid() == ROOT:
        os.chown(path, NOBODY, -1)


@pytest.fixture
def folder():
    """Give a folder that an ordinary user can reach, unlike pytest's own of root."""
    folder = Path(tempfile.mkdtemp())
    forbid(folder, 0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def path(folder, plugins):
    """Give a store with a session that waits for ``b``; nobody has it open."""
    storage = SqliteStorage(folder / "store.db")
    manager = HeldManager("s", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    manager.fire("a", {"n": 1})
    storage.close()
    assert os.listdir(folder) == ["store.db"]
    return storage.path


def lock_up(path, *, folder_mode=0o555, file_mode=0o444):
    for file in path.parent.iterdir():
        forbid(file, file_mode)
    forbid(path.parent, folder_mode)


def unlock(path):
    path.parent.chmod(0o755)
    for file in path.parent.iterdir():
        file.chmod(0o644)


def as_a_copy(path):
    """Put in its place what ``VACUUM INTO`` makes of it: it has no write-ahead log."""
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    copy.replace(path)


def waiting(storage):
    with storage.read("s") as reader:
        return [each.name for each in reader.waiting_for("b")], list(reader.configuration())


def write(storage, session_uid="new"):
    with storage.transaction(session_uid, "m"):
        pass


REFUSED = pytest.mark.parametrize(
    "modes",
    [
        {},
        {"file_mode": 0o644},
        {"folder_mode": 0o755},
    ],
    ids=["file and folder", "folder alone", "file alone"],
)


class TestNobodyHasItOpen:
    @REFUSED
    @pytest.mark.parametrize("change", [lambda path: None, as_a_copy], ids=["store", "copy"])
    def test_it_can_be_looked_at_and_that_leaves_nothing_behind(self, path, change, modes):
        change(path)
        lock_up(path, **modes)
        content = path.read_bytes()
        with an_ordinary_user():
            storage = SqliteStorage(path)
            assert list(storage.sessions()) == [("s", "tested")]
            assert waiting(storage) == (["t#0"], ["t"])
            storage.close()
        assert os.listdir(path.parent) == ["store.db"]
        assert path.read_bytes() == content

    @REFUSED
    @pytest.mark.parametrize("change", [lambda path: None, as_a_copy], ids=["store", "copy"])
    @pytest.mark.parametrize("looks_first", [True, False])
    def test_a_change_is_refused_with_the_reason_and_what_to_do(
        self, path, change, modes, looks_first
    ):
        change(path)
        lock_up(path, **modes)
        with an_ordinary_user():
            storage = SqliteStorage(path)
            if looks_first:
                waiting(storage)
            for use in (write, lambda it: it.take_lost(limit=1, hold_until=0.0)):
                with pytest.raises(StorageError) as raised:
                    use(storage)
                assert f"SQLite storage {path}: " in str(raised.value)
                assert "may only read it; this change was not made" in str(raised.value)
                assert "Let this user write the file, its folder" in str(raised.value)
            assert waiting(storage) == (["t#0"], ["t"])
            storage.close()

    @REFUSED
    def test_one_of_an_older_release_is_upgraded_by_whoever_may_write_it(self, folder, modes):
        path = folder / "store.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(WRITTEN_BEFORE)
        lock_up(path, **modes)
        content = path.read_bytes()
        with an_ordinary_user():
            storage = SqliteStorage(path)
            for use in (waiting, write):
                with pytest.raises(StorageError, match=r"schema version 1, .* may only read it"):
                    use(storage)
        assert path.read_bytes() == content
        unlock(path)
        with an_ordinary_user():
            assert waiting(storage) == ([], [])
            storage.close()

    def test_it_is_written_as_soon_as_it_may_be(self, path):
        lock_up(path)
        storage = SqliteStorage(path)
        with an_ordinary_user():
            waiting(storage)
            with pytest.raises(StorageError, match="may only read it"):
                write(storage)
        unlock(path)
        with an_ordinary_user():
            waiting(storage)
            write(storage)
            assert list(dict(storage.sessions())) == ["s", "new"]
            storage.close()

    def test_what_others_write_meanwhile_is_seen_at_the_next_look(self, path):
        lock_up(path)
        storage = SqliteStorage(path)
        with an_ordinary_user():
            assert list(dict(storage.sessions())) == ["s"]
        write_in_another_process(path)
        with an_ordinary_user():
            assert list(dict(storage.sessions())) == ["s", "new"]
            storage.close()

    def test_a_look_during_which_it_is_written_is_an_error(self, path):
        lock_up(path)
        storage = SqliteStorage(path)
        with an_ordinary_user():
            look = storage.read("s")
            look.__enter__()
        write_in_another_process(path)
        with an_ordinary_user():
            with pytest.raises(StorageError, match="written while it was read.*Look again"):
                look.__exit__(None, None, None)
            assert list(dict(storage.sessions())) == ["s", "new"]
            storage.close()

    def test_an_empty_file_is_an_error_that_says_so(self, folder):
        path = folder / "store.db"
        path.touch()
        lock_up(path)
        with an_ordinary_user(), pytest.raises(StorageError, match="is empty, and"):
            list(SqliteStorage(path).sessions())

    def test_where_no_file_can_be_made_it_says_what_to_do(self, folder):
        forbid(folder, 0o555)
        with an_ordinary_user(), pytest.raises(StorageError, match="Let this user write the"):
            write(SqliteStorage(folder / "store.db"))


WRITE = """
import sys
from triggers_core import SqliteStorage

storage = SqliteStorage(sys.argv[1])
with storage.transaction(sys.argv[2], "m"):
    pass
"""
WRITE_WHEN_TOLD = f"""{WRITE}
print("done", flush=True)
for line in sys.stdin:
    with storage.transaction(line.strip(), "m"):
        pass
    print("done", flush=True)
if sys.argv[3:] == ["die"]:
    import os
    os._exit(0)
"""


def write_in_another_process(path):
    unlock(path)
    command = [sys.executable, "-c", WRITE, str(path), "new"]
    subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)
    lock_up(path)


@contextmanager
def a_writer(path, *how):
    """Have another process hold the store open; give a function that has it write a session."""
    command = [sys.executable, "-c", WRITE_WHEN_TOLD, str(path), "theirs", *how]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write_there(session_uid):
        print(session_uid, file=process.stdin, flush=True)
        assert process.stdout.readline() == "done\n"

    try:
        assert process.stdout.readline() == "done\n"
        yield write_there
    finally:
        process.communicate(timeout=DEADLINE_SECONDS)


class TestAnotherProcessHasItOpen:
    def test_what_it_commits_is_seen_at_once(self, path):
        with a_writer(path) as write_there:
            lock_up(path)
            with an_ordinary_user():
                storage = SqliteStorage(path)
                assert list(dict(storage.sessions())) == ["s", "theirs"]
            write_there("more")
            with an_ordinary_user():
                assert list(dict(storage.sessions())) == ["s", "theirs", "more"]
                with pytest.raises(StorageError, match="may only read it; this change was not"):
                    write(storage)
                storage.close()
            unlock(path)

    def test_what_it_left_as_it_died_is_seen(self, path):
        with a_writer(path, "die"):
            pass
        assert (path.parent / "store.db-wal").stat().st_size
        lock_up(path)
        with an_ordinary_user():
            storage = SqliteStorage(path)
            assert list(dict(storage.sessions())) == ["s", "theirs"]
            storage.close()

    def test_a_log_that_cannot_be_read_is_an_error_and_is_not_passed_over(self, path):
        with a_writer(path, "die"):
            pass
        (path.parent / "store.db-shm").unlink()
        lock_up(path)
        with an_ordinary_user():
            storage = SqliteStorage(path)
            for look in (lambda it: list(it.sessions()), waiting):
                with pytest.raises(StorageError, match="Let this user write the file, its folder"):
                    look(storage)


@pytest.mark.parametrize("command", [("show", "s"), ("why", "s", "t"), ("sessions",)])
def test_the_commands_that_look_can_read_it(path, plugins, command):
    storage = SqliteStorage(path)
    plugins.add_storage(storage)
    cli = commands.build(plugins)
    # All is imported: the Python that root has may be out of an ordinary user's reach.
    assert CliRunner().invoke(cli, command).exit_code == 0
    storage.close()
    lock_up(path)
    with an_ordinary_user():
        result = CliRunner().invoke(cli, command)
        storage.close()
    assert result.exit_code == 0, result.output
    assert {"show": "t#0", "why": "waits for 'b'", "sessions": "tested"}[
        command[0]
    ] in result.output


def test_a_manager_can_read_it(path, plugins):
    lock_up(path)
    storage = SqliteStorage(path)
    with an_ordinary_user():
        manager: TriggerManager = HeldManager("s", storage=storage, plugins=plugins)
        assert [each.name for each in manager.instances()] == ["t#0"]
        with pytest.raises(StorageError, match="may only read it"):
            manager.fire("b")
        storage.close()
