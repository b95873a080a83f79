"""With ``task_always_eager`` all runs in the thread that fires, and nothing is in its way."""

import threading

import pytest

from triggers_celery import CeleryTaskRunner
from triggers_core import DispatchError, MemoryStorage, Plugins, SqliteStorage, TriggerManager

NO_BROKER = "amqp://guest:guest@127.0.0.1:1//"
FIRES, THREADS = 12, 4
DEADLINE = 60.0
"""Seconds. Far more than anything here takes."""


@pytest.fixture
def orders(load_orders, monkeypatch, tmp_path):
    monkeypatch.setenv("ORDERS_TRACES", str(tmp_path / "traces"))
    return load_orders({"task_always_eager": True, "broker_url": NO_BROKER})


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    on_disk = SqliteStorage(tmp_path / "triggers.db", synchronous="NORMAL")
    yield on_disk if request.param == "sqlite" else MemoryStorage()
    on_disk.close()


@pytest.fixture
def plugins(orders):
    plugins = Plugins()
    plugins.use_runner(CeleryTaskRunner(orders.app))
    return plugins


@pytest.fixture
def manager(storage, plugins):
    plugins.add_storage(storage)
    return TriggerManager("session", storage=storage, plugins=plugins)


def chain(length, run):
    return {
        f"t_{number}": {"after": [f"t_{number - 1}" if number else "go"], "run": run}
        for number in range(length)
    }


def statuses(manager):
    return [instance.status for instance in manager.instances()]


@pytest.mark.parametrize("length", [3, 200])
def test_a_cascade_of_any_length_has_run_when_fire_returns(manager, length):
    manager.update_configuration(chain(length, "orders.described"))
    manager.fire("go")

    assert statuses(manager) == ["finished"] * length
    assert manager.instance(f"t_{length - 1}#0").metadata["result"]["took"] == [f"t_{length - 2}"]


def test_x4_retries_of_any_number_have_run_when_fire_returns(manager, orders):
    retries = 200

    @orders.trigger_task(bind=True, name="orders.patient", max_retries=None, default_retry_delay=0)
    def patient(self, context):
        if context.attempt <= retries:
            self.retry()

    manager.update_configuration({"t_first": {"after": ["go"], "run": "orders.patient"}})
    manager.fire("go")

    assert statuses(manager) == ["replayed"] * retries + ["finished"]


def test_x4_a_cooldown_is_waited_for(manager):
    manager.update_configuration({"t_first": {"after": ["go"], "run": "orders.retry_as_told"}})
    manager.fire("go", {"countdown": 0.2})

    tried, clone = manager.instances()
    assert (tried.status, clone.status) == ("replayed", "finished")
    assert clone.changed_at >= clone.not_before == pytest.approx(tried.changed_at + 0.2, abs=0.05)


def test_what_a_task_fires_has_run_when_the_outermost_fire_returns(manager, orders):
    @orders.trigger_task(name="orders.fires")
    def fires(context):
        context.manager.fire("more", {"by": context.instance.name})

    manager.update_configuration(
        {
            "t_first": {"after": ["go"], "run": "orders.fires"},
            "t_more": {"after": ["more"], "run": "orders.described"},
            "t_joined": {"after": ["t_first", "t_more"], "run": "orders.described"},
        }
    )
    manager.fire("go")

    assert {instance.name: instance.status for instance in manager.instances()} == {
        "t_first#0": "finished",
        "t_more#0": "finished",
        "t_joined#0": "finished",
    }


def test_f9_fires_from_many_threads_at_once_do_not_wait_for_each_other_for_ever(manager):
    manager.update_configuration(
        {
            "t_each": {"after": ["go"], "andEvery": "go", "run": "orders.described"},
            "t_next": {"after": ["t_each"], "andEvery": "t_each", "run": "orders.described"},
        }
    )

    def fire_often():
        for _ in range(FIRES):
            manager.fire("go")

    threads = [threading.Thread(target=fire_often, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)

    assert not any(thread.is_alive() for thread in threads)
    assert statuses(manager) == ["finished"] * (2 * FIRES * THREADS)


def test_x4_a_task_that_fails_is_recorded_and_does_not_break_the_fire(manager):
    manager.update_configuration(
        {
            "t_first": {"after": ["go"], "run": "orders.fail"},
            "t_next": {"after": ["t_first"], "run": "orders.described"},
        }
    )
    manager.fire("go")

    assert [(i.name, i.status) for i in manager.instances()] == [("t_first#0", "failed")]


def test_a_message_that_cannot_be_followed_is_a_dispatch_error_of_the_fire(storage, plugins):
    manager = TriggerManager("session", storage=storage, plugins=plugins)
    manager.update_configuration(chain(1, "orders.described"))

    with pytest.raises(DispatchError, match=r"no storage has the alias 'default'.*add_storage"):
        manager.fire("go")
    assert statuses(manager) == ["scheduled"]


def test_after_a_message_that_could_not_be_followed_the_thread_goes_on(manager, plugins):
    unknown = MemoryStorage(alias="unknown")
    stranger = TriggerManager("stranger", storage=unknown, plugins=plugins)
    for each in (stranger, manager):
        each.update_configuration(chain(2, "orders.described"))
    with pytest.raises(DispatchError, match="no storage has the alias 'unknown'"):
        stranger.fire("go")
    manager.fire("go")

    assert statuses(manager) == ["finished", "finished"]


def test_a_cascade_that_cannot_be_followed_is_logged_and_the_rest_runs(
    manager, storage, plugins, orders, caplog
):
    unknown = MemoryStorage(alias="unknown")
    stranger = TriggerManager("stranger", storage=unknown, plugins=plugins)
    stranger.update_configuration(chain(1, "orders.described"))

    @orders.trigger_task(name="orders.tells_stranger")
    def tells_stranger(context):
        stranger.fire("go")

    manager.update_configuration(
        {
            "t_first": {"after": ["go"], "run": "orders.tells_stranger"},
            "t_next": {"after": ["t_first"], "run": "orders.described"},
        }
    )
    manager.fire("go")

    assert statuses(manager) == ["finished", "finished"]
    assert statuses(stranger) == ["scheduled"]
    assert "session 'stranger': t_0#0 did not run; 'recover' will send it" in caplog.text
