"""F7: what is scheduled is handed on after commit and outside every lock, and a failure says so."""

import threading

import pytest

from triggers_core import (
    BaseTaskRunner,
    DispatchError,
    PluginError,
    RunnerNotFound,
    Status,
    StorageError,
    TriggerManager,
    execute,
    trigger_task,
)
from triggers_core.recovery import recover_once

SHIP = {"after": ["paid"], "run": "shop.ship"}


class FaultyRunner(BaseTaskRunner):
    """Refuses the instances of the tasks in ``refuses``; keeps the rest."""

    name = "faulty"

    def __init__(self):
        self.refuses = {"t_b"}
        self.accepted = []

    def run(self, manager, task_instance):
        if task_instance.task_name in self.refuses:
            raise ConnectionError(f"no broker for {task_instance.name}")
        self.accepted.append(task_instance.name)


class FaultyManager(TriggerManager):
    name = "faulty"
    default_task_runner_name = "faulty"


@pytest.fixture
def faulty(plugins):
    runner = FaultyRunner()
    plugins.use_runner(runner)
    plugins.managers.add(FaultyManager)
    return runner


@pytest.fixture
def faulty_manager(make_manager, faulty):
    manager = make_manager(manager_class=FaultyManager)
    manager.update_configuration({"t_a": SHIP, "t_b": SHIP, "t_c": SHIP})
    return manager


def test_a_failed_dispatch_says_that_the_trigger_is_recorded_and_what_to_do(faulty_manager):
    with pytest.raises(DispatchError) as caught:
        faulty_manager.fire("paid", {"amount": 1})

    error = caught.value
    assert "session 's': t_b#0 did not reach a runner" in str(error)
    assert "no broker for t_b#0" in str(error)
    assert "recorded: do not fire it again" in str(error)
    assert "recover" in str(error)
    assert error.instance_names == ("t_b#0",)
    assert isinstance(error.__cause__, ConnectionError)


def test_what_was_fired_is_recorded_all_the_same(faulty_manager):
    with pytest.raises(DispatchError):
        faulty_manager.fire("paid", {"amount": 1}, event_id="e1")

    instance = faulty_manager.instance("t_b#0")
    assert instance.status is Status.SCHEDULED
    assert instance.trigger_kwargs == {"paid": {"amount": 1}}
    again = faulty_manager.fire("paid", {"amount": 1}, event_id="e1")
    assert again.scheduled == ("t_a#0", "t_b#0", "t_c#0")


def test_one_that_fails_keeps_no_other_back(faulty_manager, faulty):
    with pytest.raises(DispatchError):
        faulty_manager.fire("paid")

    assert faulty.accepted == ["t_a#0", "t_c#0"]


def test_of_several_that_fail_all_are_named_and_the_first_is_the_cause(faulty_manager, faulty):
    faulty.refuses = {"t_a", "t_c"}

    with pytest.raises(DispatchError, match="t_a#0, t_c#0 did not reach") as caught:
        faulty_manager.fire("paid")

    assert caught.value.instance_names == ("t_a#0", "t_c#0")
    assert str(caught.value.__cause__) == "no broker for t_a#0"


def test_recovery_sends_what_did_not_reach_its_runner_and_nothing_else(
    faulty_manager, faulty, storage, plugins
):
    with pytest.raises(DispatchError):
        faulty_manager.fire("paid")
    faulty.refuses = set()
    storage.advance(11)

    recovered = recover_once(storage, plugins=plugins)

    assert recovered.dispatched == [("s", "t_b#0")]
    assert faulty.accepted == ["t_a#0", "t_c#0", "t_b#0"]


def test_a_store_that_fails_after_the_dispatch_failed_does_not_hide_that_it_is_recorded(
    faulty_manager, faulty, storage, monkeypatch, caplog
):
    def unplug(manager, task_instance):
        monkeypatch.setattr(storage, "transaction", _unplugged)
        raise ConnectionError("no broker")

    monkeypatch.setattr(faulty, "run", unplug)

    with pytest.raises(DispatchError):
        faulty_manager.fire("paid")

    monkeypatch.undo()
    assert "after the dispatch timeout" in caplog.text
    assert faulty_manager.instance("t_a#0").status is Status.SCHEDULED


def test_a_runner_that_cannot_be_built_is_the_cause(make_manager, plugins):
    class Broken(BaseTaskRunner):
        name = "broken"

        def __init__(self):
            raise RuntimeError("no credentials")

        def run(self, manager, task_instance):
            raise NotImplementedError

    plugins.runners.add(Broken)
    manager = make_manager()
    manager.update_configuration({"t_ship": {**SHIP, "using": "broken"}})

    with pytest.raises(DispatchError, match="no credentials") as caught:
        manager.fire("paid")

    assert isinstance(caught.value.__cause__, PluginError)


def test_a_runner_that_this_process_does_not_have_is_the_cause(make_manager, plugins, faulty):
    make_manager(manager_class=FaultyManager).update_configuration({"t_ship": SHIP})
    plugins.runners.remove("faulty")
    plugins._running.clear()

    with pytest.raises(DispatchError, match="asked for by task 't_ship'") as caught:
        make_manager(manager_class=FaultyManager).fire("paid")

    assert isinstance(caught.value.__cause__, RunnerNotFound)


def test_a_cascade_that_reaches_no_runner_leaves_its_task_finished(
    make_manager, faulty, runner, tasks, plugins
):
    tasks["shop.ship"] = trigger_task(lambda context: {"crate": 7})
    manager = make_manager()
    manager.update_configuration(
        {"t_ship": SHIP, "t_b": {"after": ["t_ship"], "run": "shop.bill", "using": "faulty"}}
    )
    manager.fire("paid")

    with pytest.raises(DispatchError, match="t_b#0 did not reach a runner"):
        runner.work()

    assert manager.instance("t_ship#0").status is Status.FINISHED
    assert manager.instance("t_b#0").status is Status.SCHEDULED


def test_a_replay_that_reaches_no_runner_is_recorded(faulty_manager, faulty, tasks, plugins):
    tasks["shop.ship"] = trigger_task(_fail)
    faulty.refuses = set()
    faulty_manager.fire("paid")
    execute(faulty_manager, faulty_manager.instance("t_b#0"))
    faulty.refuses = {"t_b"}

    with pytest.raises(DispatchError, match="t_b#1 did not reach a runner"):
        faulty_manager.replay_failed_instance("t_b#0")

    assert faulty_manager.instance("t_b#0").status is Status.REPLAYED
    assert faulty_manager.instance("t_b#1").status is Status.SCHEDULED


def test_nothing_is_locked_while_a_runner_is_handed_an_instance(make_manager, plugins):
    seen = []

    class Nosy(BaseTaskRunner):
        """Looks at its session and fires into it, and into another, from a thread of its own."""

        name = "nosy"

        def run(self, manager, task_instance):
            def look_and_fire():
                seen.append(manager.instance(task_instance.name).status)
                manager.fire("noticed")
                make_manager("another").fire("noticed")

            thread = threading.Thread(target=look_and_fire)
            thread.start()
            thread.join(30)
            assert not thread.is_alive(), "the session is locked"

    plugins.use_runner(Nosy())
    manager = make_manager()
    manager.update_configuration({"t_ship": {**SHIP, "using": "nosy"}})

    manager.fire("paid")

    assert seen == [Status.SCHEDULED]


def test_a_runner_may_fire_from_the_thread_that_hands_it_an_instance(make_manager, plugins):
    class Echo(BaseTaskRunner):
        name = "echo"

        def run(self, manager, task_instance):
            if task_instance.number < 3:
                manager.fire("paid")

    plugins.use_runner(Echo())
    manager = make_manager()
    manager.update_configuration({"t_ship": {**SHIP, "andEvery": "paid", "using": "echo"}})

    manager.fire("paid")

    assert len(manager.instances(statuses=[Status.SCHEDULED])) == 4


def _unplugged(session_uid, manager_name):
    raise StorageError("unplugged")


def _fail(context):
    raise RuntimeError("out of stock")
