"""SQLite on a disk without room: a clear error, nothing committed is lost, and work goes on when
there is room again, on the application's side and on the worker's."""

import resource
import sqlite3
import subprocess
from contextlib import closing

import pytest

from triggers_core import StorageError, trigger_task
from triggers_core.recovery import recover_once

from .conftest import DEADLINE_SECONDS, ClockedSqliteStorage, HeldManager

CONFIGURATION = {
    "t_each": {"after": ["start"], "andEvery": "each", "run": "note"},
    "t_next": {"after": ["never"], "andEvery": "t_each", "run": "note"},
}
BIG = "x" * 100_000
MOST_FIRES = 100
"""Of so many kilobytes each, far more than the disks have room for."""


class SmallDisk:
    """A file system of 4 MiB, filled up by a file."""

    def __init__(self, folder):
        self.folder = folder / "disk"
        self.folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(self.folder)]
        try:
            mounted = subprocess.run(command, capture_output=True, check=False, text=True)
        except FileNotFoundError:
            pytest.skip("there is no command mount")
        if mounted.returncode:
            pytest.skip(f"this user may not mount a file system: {mounted.stderr.strip()}")
        self._ballast = self.folder / "ballast"

    def fill(self):
        with (
            self._ballast.open("wb", buffering=0) as ballast,
            pytest.raises(OSError, match="space"),
        ):
            while True:
                ballast.write(bytes(1024))

    def make_room(self):
        self._ballast.unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", str(self.folder)], check=True)


class LimitedFiles:
    """A folder whose files this process may not make larger than the largest is, and a little."""

    A_LITTLE = 3000
    """Less than a page: a write that ends in the middle."""

    def __init__(self, folder):
        self.folder = folder
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self):
        largest = max((file.stat().st_size for file in self.folder.iterdir()), default=0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + self.A_LITTLE, self._limit[1]))

    def make_room(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)

    def close(self):
        """Do nothing."""


@pytest.fixture(params=[SmallDisk, LimitedFiles])
def disk(request, tmp_path):
    disk = request.param(tmp_path)
    yield disk
    disk.make_room()
    disk.close()


@pytest.fixture
def storage(disk):
    storage = ClockedSqliteStorage(disk.folder / "store.db")
    yield storage
    disk.make_room()
    storage.close()


@pytest.fixture
def manager(manager, tasks):
    """Give a manager of a session in which fires of ``each`` start ``note``."""
    tasks["note"] = trigger_task(lambda context: None)
    manager.update_configuration(CONFIGURATION)
    manager.fire("start")
    manager.fire("each", {"n": "first"})
    return manager


def fire_until_full(manager):
    """Return what was fired and acknowledged, and the error that ended it."""
    fired = []
    for n in range(MOST_FIRES):
        try:
            manager.fire("each", {"n": n, "big": BIG}, event_id=str(n))
        except StorageError as error:
            return fired, error
        fired.append(n)
    pytest.fail("the disk is not full")


def recorded(manager):
    return [each.trigger_kwargs["each"]["n"] for each in manager.instances("t_each")]


def assert_whole(storage):
    with closing(sqlite3.connect(storage.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_fire_says_that_it_is_not_recorded_and_what_to_do(manager, storage, disk):
    disk.fill()
    fired, error = fire_until_full(manager)

    assert str(storage.path) in str(error)
    assert "this change was not made, and everything committed before stands" in str(error)
    assert "Make room on the disk" in str(error)
    assert recorded(manager) == ["first", *fired]


def test_nothing_is_lost_and_work_goes_on_when_there_is_room(manager, storage, disk, runner):
    for _ in range(3):
        before = recorded(manager)
        disk.fill()
        fire_until_full(manager)
        disk.make_room()

        assert recorded(manager)[: len(before)] == before
        manager.fire("each", {"n": "again"}, event_id=f"failed {len(before)}")
        assert recorded(manager)[-1] == "again"
    storage.close()
    assert_whole(storage)
    runner.work()
    assert {each.status.value for each in manager.instances("t_each")} == {"finished"}
    assert len(manager.instances("t_next")) == len(recorded(manager))


def test_a_fire_that_failed_can_be_made_again_with_its_event(manager, disk):
    disk.fill()
    fired, _ = fire_until_full(manager)
    disk.make_room()

    for _ in range(2):
        manager.fire("each", {"n": len(fired)}, event_id=str(len(fired)))
    assert recorded(manager) == ["first", *fired, len(fired)]


def test_a_new_store_is_made_when_there_is_room(disk, plugins):
    storage = ClockedSqliteStorage(disk.folder / "new.db")
    manager = HeldManager("s", storage=storage, plugins=plugins)
    disk.fill()
    for _ in range(2):
        with pytest.raises(StorageError, match="Make room on the disk"):
            manager.update_configuration(CONFIGURATION)
    disk.make_room()
    manager.update_configuration(CONFIGURATION)
    assert list(manager.configuration()) == list(CONFIGURATION)
    storage.close()
    assert_whole(storage)


@pytest.mark.parametrize("ending", ["a result", "a failure"])
def test_an_end_that_cannot_be_recorded_is_an_error_and_the_task_runs_again(
    manager, storage, disk, runner, tasks, plugins, ending
):
    """At least once: the effect of the first time is there, its record is not."""
    runs = []

    def use_up_the_disk(context):
        runs.append(context.instance.name)
        if len(runs) == 1:
            disk.fill()
            if ending == "a failure":
                raise RuntimeError(30 * BIG)
            return {"big": 30 * BIG}
        return {"small": True}

    tasks["note"] = trigger_task(use_up_the_disk)
    with pytest.raises(StorageError, match="this change was not made"):
        runner.work_once()
    disk.make_room()
    assert [each.status.value for each in manager.instances()] == ["running"]

    assert recover_once(storage, plugins=plugins).count == 0
    storage.advance(HeldManager.lease_duration + 1)
    assert recover_once(storage, plugins=plugins).rerun == [("s", "t_each#0")]
    runner.work_once()

    assert runs == ["t_each#0", "t_each#1"]
    assert [(each.name, each.status.value) for each in manager.instances()] == [
        ("t_each#0", "replayed"),
        ("t_each#1", "finished"),
        ("t_next#0", "unstarted"),
    ]
    assert manager.instance("t_next#0").trigger_kwargs["t_each"] == {"small": True}


def test_a_runner_logs_that_an_end_was_not_recorded(manager, disk, threads, tasks, caplog):
    def use_up_the_disk(context):
        disk.fill()
        return {"big": 30 * BIG}

    tasks["fill"] = trigger_task(use_up_the_disk)
    manager.update_configuration({"t": {"after": ["go"], "run": "fill", "using": "threading"}})
    manager.fire("go")
    threads.join_all(DEADLINE_SECONDS)

    assert "could not be executed to its end" in caplog.text
    assert "Make room on the disk" in caplog.text
    assert manager.instance("t#0").status.value == "running"
