"""X6: one thread renews the leases of a process, whatever happens to it."""

import threading

import pytest

from triggers_core import MemoryStorage, TriggerManager, trigger_task
from triggers_core.worker.lease import LeaseKeeper

DEADLINE_SECONDS = 30.0


class ImpatientManager(TriggerManager):
    name = "impatient"
    default_task_runner_name = "held"
    lease_duration = 0.003


class StumblingStorage(MemoryStorage):
    """Raises what no storage should once, then tells of each transaction."""

    def __init__(self):
        super().__init__()
        self.errors = []
        self.used = threading.Event()

    def transaction(self, session_uid, manager_name):
        if self.errors:
            raise self.errors.pop()
        self.used.set()
        return super().transaction(session_uid, manager_name)


@pytest.fixture
def storage():
    return StumblingStorage()


@pytest.fixture
def held_instance(storage, plugins, runner, tasks):
    """Give (manager, instance) of a scheduled instance."""
    tasks["noop"] = trigger_task(lambda context: None)
    manager = ImpatientManager("s", storage=storage, plugins=plugins)
    manager.update_configuration({"t": {"after": ["go"], "run": "noop"}})
    manager.fire("go")
    return runner.held[0]


def renew_once(keeper, storage, manager, instance):
    storage.used.clear()
    with keeper.holding(manager, instance):
        assert storage.used.wait(DEADLINE_SECONDS), "the lease was not renewed"


def keepers_threads(before):
    return [t for t in threading.enumerate() if t.name == "leases" and t not in before]


def test_the_thread_stays_when_no_lease_is_left(storage, held_instance):
    """At interpreter exit another could not be started, and there are tasks to finish."""
    before, keeper = threading.enumerate(), LeaseKeeper()
    renew_once(keeper, storage, *held_instance)
    (thread,) = keepers_threads(before)
    thread.join(100 * ImpatientManager.lease_duration)

    assert thread.is_alive()
    renew_once(keeper, storage, *held_instance)
    assert keepers_threads(before) == [thread]


def test_a_lease_that_has_ended_is_not_renewed(storage, held_instance, plugins):
    manager, instance = held_instance
    keeper, other_storage = LeaseKeeper(), StumblingStorage()
    other = ImpatientManager("s", storage=other_storage, plugins=plugins)
    with keeper.holding(manager, instance):
        pass
    storage.used.clear()

    renew_once(keeper, other_storage, other, instance)

    assert not storage.used.is_set()


def test_a_lease_that_is_due_before_those_held_already_is_renewed_in_time(
    storage, held_instance, plugins
):
    class PatientManager(ImpatientManager):
        lease_duration = 100_000.0

    keeper = LeaseKeeper()
    patient = PatientManager("s", storage=storage, plugins=plugins)
    with keeper.holding(patient, held_instance[1]):
        renew_once(keeper, storage, *held_instance)


def test_the_thread_can_be_started_before_there_is_a_lease(storage, held_instance):
    before, keeper = threading.enumerate(), LeaseKeeper()
    keeper.start()
    threads = keepers_threads(before)
    renew_once(keeper, storage, *held_instance)

    assert len(threads) == 1
    assert keepers_threads(before) == threads


def test_an_error_that_is_not_the_storages_own_is_logged_and_the_next_renewal_made(
    storage, held_instance, caplog
):
    storage.errors.append(OSError("the disk is gone"))

    renew_once(LeaseKeeper(), storage, *held_instance)
    (record,) = caplog.records
    assert "the lease of t#0 could not be renewed" in record.getMessage()
    assert record.exc_info[0] is OSError
