"""Managers: their runner, the class that a worker reopens, and configurations all or nothing."""

import pytest

from triggers_core import (
    ConfigurationError,
    InstanceNotFound,
    ManagerNotFound,
    Reference,
    RunnerNotFound,
    Status,
    StorageError,
    StorageNotFound,
    TriggerManager,
    hookimpl,
    trigger_task,
)

SHIP = {"after": ["paid"], "run": "shop.ship"}
BILL = {"after": ["paid"], "run": "shop.bill"}


class ShopManager(TriggerManager):
    name = "shop"
    default_task_runner_name = "threading"


@trigger_task
def nothing(context):
    return None


class Chooses:
    def __init__(self, name):
        self._name = name

    @hookimpl
    def triggers_select_runner(self):
        return self._name


class TestRunner:
    def test_the_default_is_the_class_attribute(self, make_manager, threads, runner, tasks):
        tasks["shop.ship"] = nothing
        manager = make_manager(manager_class=ShopManager)
        manager.update_configuration({"t_ship": SHIP})

        manager.fire("paid")
        threads.join_all(30)

        assert manager.instance("t_ship#0").status is Status.FINISHED
        assert runner.names == []

    def test_a_plugins_choice_is_above_the_default(self, make_manager, plugins, runner):
        plugins.register(Chooses("held"))
        manager = make_manager(manager_class=ShopManager)
        manager.update_configuration({"t_ship": SHIP})

        manager.fire("paid")

        assert runner.names == ["t_ship#0"]

    def test_using_is_above_a_plugins_choice(self, make_manager, plugins, runner):
        plugins.register(Chooses("threading"))
        manager = make_manager(manager_class=ShopManager)
        manager.update_configuration({"t_ship": {**SHIP, "using": "held"}})

        manager.fire("paid")

        assert runner.names == ["t_ship#0"]

    def test_each_task_has_its_own(self, manager, threads, runner, tasks):
        tasks["shop.ship"] = nothing
        manager.update_configuration({"t_ship": {**SHIP, "using": "threading"}, "t_bill": BILL})

        manager.fire("paid")
        threads.join_all(30)

        assert manager.instance("t_ship#0").status is Status.FINISHED
        assert runner.names == ["t_bill#0"]

    def test_celery_is_the_default_and_the_error_says_how_to_install_it(self, make_manager):
        manager = make_manager(manager_class=TriggerManager)

        with pytest.raises(RunnerNotFound) as caught:
            manager.update_configuration({"t_ship": SHIP})

        message = str(caught.value)
        assert "no task runner 'celery'" in message
        assert "held, threading" in message
        assert "task 't_ship'" in message
        assert "pip install triggers-celery" in message

    def test_the_default_may_be_missing_where_every_task_says_using(self, make_manager, runner):
        manager = make_manager(manager_class=TriggerManager)
        manager.update_configuration({"t_ship": {**SHIP, "using": "held"}})

        manager.fire("paid")

        assert runner.names == ["t_ship#0"]

    def test_c6_an_unknown_name_is_an_error_of_update_configuration(self, manager):
        with pytest.raises(RunnerNotFound) as caught:
            manager.update_configuration({"t_ship": {**SHIP, "using": "carrier_pigeon"}})

        message = str(caught.value)
        assert "'carrier_pigeon'" in message
        assert "task 't_ship'" in message
        assert "held, threading" in message


class TestSubclass:
    def test_it_is_what_a_worker_reopens(self, make_manager, plugins, storage):
        plugins.managers.add(ShopManager)
        plugins.add_storage(storage)
        manager = make_manager(manager_class=ShopManager)
        manager.update_configuration({"t_ship": {**SHIP, "using": "held"}})
        manager.fire("paid")

        message = Reference.to(manager, manager.instance("t_ship#0")).to_dict()
        reopened, instance = Reference.from_dict(message).open(plugins)

        assert message["manager"] == "shop"
        assert (type(reopened), reopened.session_uid) == (ShopManager, "s")
        assert reopened.storage is storage
        assert instance == manager.instance("t_ship#0")

    def test_one_that_is_not_registered_cannot_be_reopened(self, make_manager, plugins):
        manager = make_manager(manager_class=ShopManager)
        manager.update_configuration({"t_ship": {**SHIP, "using": "held"}})
        manager.fire("paid")
        reference = Reference.to(manager, manager.instance("t_ship#0"))

        with pytest.raises(ManagerNotFound, match="no manager 'shop' is registered.*tested"):
            reference.open(plugins)


class TestUpdateConfiguration:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"after": "paid", "run": "shop.pack"},
            {"after": ["paid"], "run": "shop.pack", "using": "carrier_pigeon"},
        ],
        ids=["a broken rule", "an unknown runner"],
    )
    def test_c8_one_wrong_task_keeps_all_out(self, wrong, manager, storage, stored):
        manager.update_configuration({"t_ship": SHIP})
        before = stored(storage)

        with pytest.raises((ConfigurationError, RunnerNotFound), match="'t_pack'"):
            manager.update_configuration(
                {"t_bill": BILL, "t_ship": {**SHIP, "run": "shop.new"}, "t_pack": wrong}
            )

        assert stored(storage) == before

    def test_tasks_are_added_and_those_of_the_same_name_replaced(self, manager):
        manager.update_configuration({"t_ship": SHIP, "t_bill": BILL})

        manager.update_configuration({"t_ship": {**SHIP, "run": "shop.new"}, "t_pack": SHIP})

        configuration = manager.configuration()
        assert list(configuration) == ["t_ship", "t_bill", "t_pack"]
        assert configuration["t_ship"].run == "shop.new"
        assert configuration["t_bill"].run == "shop.bill"

    def test_an_instance_keeps_the_configuration_that_it_was_made_under(self, manager, runner):
        manager.update_configuration({"t_ship": {**SHIP, "after": ["paid", "packed"]}})
        manager.fire("paid")

        manager.update_configuration({"t_ship": {**SHIP, "after": ["paid", "weighed"]}})

        assert manager.fire("weighed").taken == ()
        assert manager.fire("packed").scheduled == ("t_ship#0",)
        assert manager.task_config(manager.instance("t_ship#0")).after == ("paid", "packed")

    def test_the_next_instance_is_made_under_the_new_one(self, manager):
        manager.update_configuration({"t_ship": {**SHIP, "andEvery": "paid"}})
        manager.fire("paid")
        manager.update_configuration(
            {"t_ship": {**SHIP, "andEvery": "paid", "after": ["paid", "packed"]}}
        )

        manager.fire("paid")

        assert manager.instance("t_ship#1").waits_for == {"packed"}

    def test_c8_f3_a_new_task_sees_earlier_triggers_when_its_first_instance_is_made(self, manager):
        manager.fire("paid", {"amount": 1})
        manager.update_configuration({"t_ship": {**SHIP, "after": ["paid", "packed"]}})

        manager.fire("packed")

        assert manager.instance("t_ship#0").trigger_kwargs["paid"] == {"amount": 1}

    def test_what_the_caller_changes_afterwards_changes_nothing(self, manager):
        directives = {**SHIP, "withParams": {"paid": {"list": [1]}}, "queue": {"name": "slow"}}
        manager.update_configuration({"t_ship": directives})

        directives["withParams"]["paid"]["list"].append(2)
        directives["queue"]["name"] = "fast"

        task = manager.configuration()["t_ship"]
        assert task.with_params == {"paid": {"list": [1]}}
        assert task.extras == {"queue": {"name": "slow"}}

    def test_an_empty_one_changes_nothing(self, manager):
        manager.update_configuration({"t_ship": SHIP})

        manager.update_configuration({})

        assert list(manager.configuration()) == ["t_ship"]


class TestLookUps:
    def test_a_session_that_nobody_changed_reads_as_an_empty_one(self, manager, storage):
        assert manager.instances() == []
        assert dict(manager.configuration()) == {}
        assert manager.unresolved_instances() == []
        assert list(storage.sessions()) == []
        with pytest.raises(InstanceNotFound, match="session 's' has no instance 't_ship#0'"):
            manager.instance("t_ship#0")

    def test_instances_come_by_task_and_number_all_or_some(self, manager, runner, tasks):
        tasks["shop.bill"] = nothing
        manager.update_configuration({"t_bill": BILL})
        manager.fire("paid")
        runner.work()
        manager.update_configuration({"t_ship": {**SHIP, "andEvery": "paid"}})
        for _ in range(11):
            manager.fire("paid")

        assert [instance.name for instance in manager.instances()] == [
            "t_bill#0",
            *(f"t_ship#{number}" for number in range(11)),
        ]
        assert [instance.name for instance in manager.instances("t_bill")] == ["t_bill#0"]
        assert len(manager.instances(statuses=[Status.SCHEDULED])) == 11
        assert manager.instances("t_bill", statuses={Status.SCHEDULED}) == []
        assert manager.instances(statuses=[]) == manager.instances("t_unheard_of") == []

    def test_two_managers_of_one_session_see_the_same(self, make_manager):
        make_manager().update_configuration({"t_ship": SHIP})
        make_manager().fire("paid")

        assert make_manager().instance("t_ship#0").status is Status.SCHEDULED

    def test_a_manager_reads_as_its_class_and_session(self, manager):
        assert repr(manager) == "HeldManager('s')"


class TestStorage:
    def test_one_that_is_not_named_is_an_error_that_says_how_to_name_it(self, plugins, monkeypatch):
        monkeypatch.delenv("TRIGGERS_STORAGE", raising=False)

        with pytest.raises(StorageNotFound, match="set TRIGGERS_STORAGE to a URL"):
            TriggerManager("s", plugins=plugins)

    def test_a_url_is_an_error_that_says_what_opens_it(self, plugins):
        with pytest.raises(StorageError, match=r"not 'sqlite:///a.db'; plugins.open_storage\("):
            TriggerManager("s", storage="sqlite:///a.db", plugins=plugins)
