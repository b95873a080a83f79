"""Which ``run`` targets a process allows, and which classes it lets workers look for."""

import pytest

from triggers_core import (
    BaseTaskRunner,
    ConfigurationError,
    MemoryStorage,
    PluginError,
    Plugins,
    Reference,
    Status,
    TriggerManager,
    trigger_task,
)

SHIP = {"t_ship": {"after": ["paid"], "run": "shop.ship"}}


def steal(target):
    return {"t_steal": {"after": ["paid"], "run": target}}


class TestAllowedTargets:
    @pytest.mark.parametrize("target", ["os.system", "shopping.ship", "shop", "Shop.ship"])
    def test_what_is_not_allowed_is_refused_when_it_is_configured(self, manager, target):
        manager.plugins.allow_targets("shop.*", "mail.send")

        with pytest.raises(ConfigurationError) as refused:
            manager.update_configuration({**SHIP, **steal(target)})

        assert str(refused.value).startswith(
            f"task 't_steal': the target {target!r} may not be run here; allowed are shop.*, mail.s"
        )
        assert not manager.configuration()

    @pytest.mark.parametrize("target", ["shop.ship", "shop.orders.ship", "mail.send"])
    def test_what_is_allowed_is_configured(self, manager, target):
        manager.plugins.allow_targets("shop.*")
        manager.plugins.allow_targets("mail.send")

        manager.update_configuration(steal(target))

        assert manager.configuration()["t_steal"].run == target

    def test_what_was_configured_elsewhere_is_not_run_here(self, manager, tasks, runner):
        ran = []
        tasks["os.system"] = trigger_task(ran.append)
        manager.update_configuration(steal("os.system"))
        manager.fire("paid")

        manager.plugins.allow_targets("shop.*")
        ended = runner.work_once()

        assert (ended.status, ran) == (Status.FAILED, [])
        assert ended.metadata["error"]["type"] == "ConfigurationError"
        assert "may not be run here" in ended.metadata["error"]["message"]

    def test_the_environment_can_say_it(self, monkeypatch):
        monkeypatch.setenv("TRIGGERS_ALLOWED_TARGETS", "shop.*, mail.send,")
        plugins = Plugins(load_entry_points=False)

        plugins.check_target("mail.send")
        with pytest.raises(ConfigurationError, match=r"allowed are shop\.\*, mail\.send"):
            plugins.check_target("os.system")

    def test_nothing_is_confined_unless_it_is_asked_for(self):
        Plugins(load_entry_points=False).check_target("os.system")


class RemoteRunner(BaseTaskRunner):
    """Makes a reference of what it is handed, as a runner does that has workers elsewhere."""

    name = "far"
    capabilities = frozenset({"remote"})

    def __init__(self):
        self.references = []

    def run(self, manager, task_instance):
        self.references.append(Reference.to(manager, task_instance))


class Nameless(TriggerManager):
    default_task_runner_name = "far"


class Named(Nameless):
    name = "named"


class NamelessAgain(Named):
    pass


class TestNames:
    @pytest.fixture
    def plugins(self):
        plugins = Plugins(load_entry_points=False)
        plugins.use_runner(RemoteRunner())
        return plugins

    @pytest.mark.parametrize("manager_class", [Nameless, NamelessAgain])
    def test_a_class_that_workers_would_take_for_another_is_refused(self, plugins, manager_class):
        manager = manager_class("s", storage=MemoryStorage(), plugins=plugins)

        with pytest.raises(PluginError) as refused:
            manager.update_configuration(SHIP)

        assert f"write name = '{manager_class.__name__.lower()}' in its body" in str(refused.value)
        assert not manager.configuration()

    @pytest.mark.parametrize("manager_class", [TriggerManager, Named])
    def test_a_class_with_a_name_of_its_own_is_found_again(self, plugins, manager_class):
        manager = manager_class("s", storage=MemoryStorage(), plugins=plugins)
        manager.update_configuration({"t_ship": {**SHIP["t_ship"], "using": "far"}})
        manager.fire("paid")

        (reference,) = plugins.runner("far").references
        assert reference.manager == manager_class.name


def test_a_runner_of_this_process_needs_no_name(make_manager, runner):
    class Local(TriggerManager):
        default_task_runner_name = "held"

    manager = make_manager("s", Local)
    manager.update_configuration(SHIP)
    manager.fire("paid")

    assert runner.names == ["t_ship#0"]


class TestKeywords:
    def test_a_runner_whose_run_has_other_names_is_refused_when_it_is_registered(self):
        class Short(BaseTaskRunner):
            name = "short"

            def run(self, m, i): ...

        plugins = Plugins(load_entry_points=False)

        for register in (plugins.runners.add, lambda it: plugins.use_runner(it())):
            with pytest.raises(PluginError, match="called with keywords"):
                register(Short)
        assert plugins.runners.names() == []

    def test_a_run_that_takes_whatever_comes_is_fine(self):
        class Open(BaseTaskRunner):
            name = "open"

            def run(self, manager, task_instance, priority=0, **more): ...

        plugins = Plugins(load_entry_points=False)

        assert plugins.runners.add(Open) == "open"


class TestUnclaimedDirectives:
    def test_one_that_nobody_claims_is_said_once(self, manager, caplog):
        directives = {f"timeout_on_{manager.storage.name}": 3, "x-team": "mail"}
        for _ in range(2):
            manager.update_configuration({"t_ship": {**SHIP["t_ship"], **directives}})

        (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
        (directive, _) = directives
        said = f"task 't_ship': nobody here knows the directive {directive!r}"
        assert record.getMessage().startswith(said)
        assert manager.configuration()["t_ship"].extras == directives
