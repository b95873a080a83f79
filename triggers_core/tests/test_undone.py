"""A change that the store undid for a reason that has passed is made again, once, and whole."""

from contextlib import contextmanager

import pytest

from triggers_core import MemoryStorage, Status, StorageError, TransientStorageError, TriggerTask
from triggers_core.engine.change import RETRY_PAUSES_SECONDS

CONFIGURATION = {
    "t_ship": {"after": ["paid"], "andEvery": "paid", "run": "ship"},
    "t_thank": {"after": ["t_ship"], "run": "thank"},
}


class UndoingStorage(MemoryStorage):
    """Undoes as many transactions at their end as it is told to."""

    to_undo = 0
    undone = 0

    @contextmanager
    def transaction(self, session_uid, manager_name):
        with super().transaction(session_uid, manager_name) as unit:
            yield unit
            if self.to_undo > 0:
                self.to_undo -= 1
                self.undone += 1
                raise TransientStorageError("the connection was lost; this change was not made")


@pytest.fixture
def storage():
    return UndoingStorage()


class Ship(TriggerTask):
    def __init__(self):
        self.ran = 0
        self.at_its_end = lambda: None

    def run(self, context):
        self.ran += 1
        self.at_its_end()


@pytest.fixture
def task(tasks):
    tasks["ship"] = Ship()
    return tasks["ship"]


@pytest.fixture
def manager(make_manager, task):
    manager = make_manager("s")
    manager.update_configuration(CONFIGURATION)
    return manager


def statuses(manager):
    return {instance.name: str(instance.status) for instance in manager.instances()}


def test_a_fire_is_made_once_whatever_was_undone_before(manager, storage, runner, caplog):
    storage.to_undo = 2

    outcomes = manager.fire_many([("paid", {"n": 1}), ("paid", {"n": 2})])

    assert storage.undone == 2
    assert [outcome.created for outcome in outcomes] == [("t_ship#0",), ("t_ship#1",)]
    assert statuses(manager) == {"t_ship#0": "scheduled", "t_ship#1": "scheduled"}
    assert runner.names == ["t_ship#0", "t_ship#1"]
    assert "session 's': trying again: the connection was lost" in caplog.text


def test_a_configuration_is_applied(manager, storage):
    storage.to_undo = 1

    manager.update_configuration({"t_more": {"after": ["paid"], "run": "more"}})

    assert set(manager.configuration()) == {"t_ship", "t_thank", "t_more"}


def test_x1_a_claim_that_was_undone_is_made_and_the_task_runs_once(manager, storage, runner, task):
    manager.fire("paid")
    storage.to_undo = 1

    ended = runner.work_once()

    assert ended.status is Status.FINISHED
    assert task.ran == 1


def test_x5_an_end_that_was_undone_is_recorded_without_the_task_running_again(
    manager, storage, runner, task
):
    manager.fire("paid")
    task.at_its_end = lambda: setattr(storage, "to_undo", 1)

    runner.work_once()

    assert (task.ran, storage.undone) == (1, 1)
    assert statuses(manager) == {"t_ship#0": "finished", "t_thank#0": "scheduled"}


def test_it_is_not_tried_for_ever(manager, storage, runner, stored):
    before = stored(storage)
    storage.to_undo = 100

    with pytest.raises(StorageError, match="this change was not made"):
        manager.fire("paid")

    assert storage.undone == len(RETRY_PAUSES_SECONDS) + 1
    assert (stored(storage), runner.names) == (before, [])
