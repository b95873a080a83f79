"""X6: one thread renews the leases of a process, whatever happens to it."""

import threading
import time

import pytest

from triggers_core import MemoryStorage, TriggerManager, trigger_task
from triggers_core.worker.lease import TRIES_PER_RENEWAL, LeaseKeeper, _Lease

DEADLINE_SECONDS = 30.0


class ImpatientManager(TriggerManager):
    name = "impatient"
    default_task_runner_name = "held"
    lease_duration = 0.003


class PatientManager(ImpatientManager):
    lease_duration = 100_000.0


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


def until(condition):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


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


def test_leases_of_one_storage_are_renewed_together(storage, held_instance, plugins):
    """Whichever is due first: what it costs does not grow with the tasks that run."""
    manager, instance = held_instance
    patient = PatientManager("s", storage=storage, plugins=plugins)
    elsewhere = PatientManager("s", storage=StumblingStorage(), plugins=plugins)
    keeper, together = LeaseKeeper(), []
    storage.renew_leases = together.append
    keeper.start()
    with (
        keeper.holding(elsewhere, instance),
        keeper.holding(patient, instance),
        keeper.holding(manager, instance),
    ):
        until(lambda: together)

    assert sorted(lease.seconds for lease in together[0]) == [
        ImpatientManager.lease_duration,
        PatientManager.lease_duration,
    ]


def test_a_renewal_that_fails_is_tried_again_before_the_next_is_due(
    storage, held_instance, plugins
):
    patient = PatientManager("s", storage=storage, plugins=plugins)
    soon = time.monotonic() + PatientManager.lease_duration / 2
    leases = [_Lease(patient, held_instance[1], renew_at=when) for when in (soon, soon - 1.0, 0.0)]

    LeaseKeeper()._try_again_soon(leases)

    again = time.monotonic() + leases[0].interval / TRIES_PER_RENEWAL
    assert leases[0].renew_at == leases[1].renew_at <= again < soon
    assert leases[2].renew_at == 0.0
