"""What is registered works, what is refused leaves no trace, and no object's plugins are
another's."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import ModuleType

import pytest

from triggers_core import (
    BaseTaskRunner,
    ManagerNotFound,
    MemoryStorage,
    PluginError,
    Plugins,
    RunnerNotFound,
    SqliteStorage,
    StorageNotFound,
    TriggerManager,
    default_plugins,
    hookimpl,
)
from triggers_core.plugins.in_use import STORAGE_VARIABLE
from triggers_core.plugins.registry import Registration

CORE = "triggers-core"


class Runner(BaseTaskRunner):
    name = "here"

    def run(self, manager, task_instance):
        raise NotImplementedError


class Rival(Runner):
    """Another class of the same name."""


class Nameless(BaseTaskRunner):
    def run(self, manager, task_instance):
        raise NotImplementedError


class Observer:
    """Keeps the names of the triggers that it was told of."""

    def __init__(self):
        self.heard = []

    @hookimpl
    def triggers_fired(self, trigger_name):
        self.heard.append(trigger_name)


class Offer:
    """A plugin that offers runners."""

    def __init__(self, *runner_classes):
        self.runner_classes = runner_classes

    @hookimpl
    def triggers_runners(self):
        return self.runner_classes


@pytest.fixture
def plugins():
    return Plugins(load_entry_points=False)


@pytest.fixture
def fire(plugins):
    return TriggerManager("s-1", storage=MemoryStorage(), plugins=plugins).fire


class TestRegister:
    def test_an_object_is_called_until_it_is_unregistered(self, plugins, fire):
        observer = Observer()

        assert plugins.register(observer, "observer") == "observer"
        fire("first")
        plugins.unregister(observer)
        fire("second")
        plugins.register(observer)
        fire("third")

        assert observer.heard == ["first", "third"]

    def test_a_module_is_a_plugin_by_its_own_name(self, plugins, fire):
        module, observer = ModuleType("app.hooks"), Observer()
        module.triggers_fired = observer.triggers_fired

        assert plugins.register(module) == "app.hooks"
        fire("ordered")

        assert observer.heard == ["ordered"]

    def test_a_plugin_need_not_be_hashable(self, plugins, fire):
        @dataclass
        class Audit:
            heard: list = field(default_factory=list)

            @hookimpl
            def triggers_fired(self, trigger_name):
                self.heard.append(trigger_name)

        audit = Audit()
        plugins.register(audit, "audit")
        fire("ordered")
        plugins.unregister(audit)

        assert audit.heard == ["ordered"]

    def test_names_are_listed_with_the_cores_own(self, plugins):
        plugins.register(Observer(), "observer")

        assert plugins.plugin_names() == ["observer", CORE]

    def test_the_same_object_again_is_refused_and_stays_registered_once(self, plugins, fire):
        observer = Observer()
        plugins.register(observer, "observer")

        with pytest.raises(PluginError, match="already registered"):
            plugins.register(observer, "observer")
        with pytest.raises(PluginError, match="already registered"):
            plugins.register(observer, "by another name")

        fire("ordered")
        assert observer.heard == ["ordered"]
        assert plugins.plugin_names() == ["observer", CORE]

    def test_another_object_of_the_same_name_is_refused(self, plugins, fire):
        first, second = Observer(), Observer()
        plugins.register(first, "observer")

        with pytest.raises(PluginError, match=r"'observer'.*already registered"):
            plugins.register(second, "observer")

        fire("ordered")
        assert (first.heard, second.heard) == (["ordered"], [])

    def test_what_is_not_registered_cannot_be_unregistered(self, plugins):
        with pytest.raises(PluginError, match="is not registered"):
            plugins.unregister(Observer())


class TestRefusedPlugins:
    """Each is refused with its reason, and nothing of it stays."""

    class UnknownHook(Observer):
        @hookimpl
        def triggers_fierd(self, trigger_name):
            raise NotImplementedError

    class UnknownArgument(Observer):
        @hookimpl
        def triggers_skipped(self, session):
            raise NotImplementedError

    class NoRunner(Observer):
        @hookimpl
        def triggers_runners(self):
            return [Runner, Observer]

    class NoList(Observer):
        @hookimpl
        def triggers_runners(self):
            return Runner

    class NamelessRunner(Observer):
        @hookimpl
        def triggers_runners(self):
            return [Runner, Nameless]

    class WrappedRunners(Observer):
        @hookimpl(wrapper=True)
        def triggers_runners(self):
            return (yield)

    @pytest.mark.parametrize(
        ("plugin_class", "reason"),
        [
            (UnknownHook, "triggers_fierd.*triggers_core.hookspecs lists the hooks"),
            (UnknownArgument, "session.*triggers_core.hookspecs lists the hooks"),
            (NoRunner, "plugin 'faulty' offers .*Observer.*expected a subclass of"),
            (NoList, "plugin 'faulty' failed in triggers_runners.*not iterable"),
            (NamelessRunner, "plugin 'faulty' offers .*Nameless.*'name' is None"),
            (WrappedRunners, "'faulty': triggers_runners .*cannot be a wrapper"),
        ],
    )
    def test_nothing_of_it_stays(self, plugins, fire, plugin_class, reason):
        faulty = plugin_class()

        with pytest.raises(PluginError, match=f"(?s){reason}") as raised:
            plugins.register(faulty, "faulty")

        assert "'faulty'" in str(raised.value)
        fire("ordered")
        assert faulty.heard == []
        assert plugins.plugin_names() == [CORE]
        assert plugins.runners.names() == []

    def test_the_next_plugin_is_none_the_worse_for_it(self, plugins, fire):
        with pytest.raises(PluginError):
            plugins.register(self.UnknownHook(), "faulty")
        observer = Observer()

        plugins.register(observer, "faulty")
        fire("ordered")

        assert observer.heard == ["ordered"]


class TestOfferedRunners:
    def test_one_is_there_as_long_as_its_plugin(self, plugins):
        offer = Offer(Runner)

        plugins.register(offer)
        assert plugins.runners.names() == ["here"]
        assert type(plugins.runner("here")) is Runner
        plugins.unregister(offer)

        assert plugins.runners.names() == []
        with pytest.raises(RunnerNotFound, match="'here'"):
            plugins.runner("here")

    def test_a_rival_of_the_same_name_is_refused_and_the_first_stays(self, plugins):
        plugins.register(Offer(Runner), "first")

        with pytest.raises(PluginError, match=r"plugin 'second' offers .*Rival.*rename one"):
            plugins.register(Offer(Rival), "second")

        assert type(plugins.runner("here")) is Runner
        assert plugins.plugin_names() == ["first", CORE]

    def test_one_that_two_plugins_offer_is_there_as_long_as_either(self, plugins):
        first, second = Offer(Runner), Offer(Runner)
        plugins.register(first)
        plugins.register(second)

        plugins.unregister(first)
        assert type(plugins.runner("here")) is Runner
        plugins.unregister(second)

        assert plugins.runners.names() == []

    def test_a_refused_plugin_takes_no_offer_of_another_with_it(self, plugins):
        plugins.register(Offer(Runner), "first")

        with pytest.raises(PluginError, match="'second'"):
            plugins.register(Offer(Runner, Nameless), "second")

        assert type(plugins.runner("here")) is Runner


class TestRunners:
    def test_one_is_built_once_however_many_ask(self, plugins):
        built, asking = [], threading.Barrier(4)

        class Counted(Runner):
            def __init__(self):
                built.append(self)

        plugins.runners.add(Counted)

        def ask(_):
            asking.wait(timeout=20)
            return plugins.runner("here")

        with ThreadPoolExecutor(4) as threads:
            got = list(threads.map(ask, range(4)))

        assert built == [got[0]]
        assert set(got) == {got[0]}

    def test_one_may_be_built_from_another(self, plugins):
        class Wrapper(Runner):
            name = "wrapper"

            def __init__(self):
                self.wrapped = plugins.runner(Runner.name)

        plugins.runners.add(Runner)
        plugins.runners.add(Wrapper)

        assert plugins.runner("wrapper").wrapped is plugins.runner(Runner.name)

    def test_an_object_in_use_stands_in_for_one_built_without_arguments(self, plugins):
        runner = Runner()

        plugins.use_runner(runner)

        assert plugins.runner("here") is runner
        assert plugins.runners.names() == ["here"]

    @pytest.mark.parametrize("second", [Runner, Rival])
    def test_a_second_object_of_that_name_is_refused(self, plugins, second):
        runner = Runner()
        plugins.use_runner(runner)

        with pytest.raises(PluginError, match="'here'"):
            plugins.use_runner(second())

        assert plugins.runner("here") is runner
        assert plugins.runners.load("here") is Runner

    @pytest.mark.parametrize(
        ("runner", "reason"),
        [
            (Runner, "expected a subclass of triggers_core.BaseTaskRunner"),
            (object(), "expected a subclass of triggers_core.BaseTaskRunner"),
            (Nameless(), "whose 'name' is None"),
        ],
    )
    def test_what_is_no_runner_is_refused(self, plugins, runner, reason):
        with pytest.raises(PluginError, match=reason):
            plugins.use_runner(runner)

        assert plugins.runners.names() == []

    def test_one_that_is_not_installed_is_named_with_what_is_and_what_to_install(self, plugins):
        plugins.use_runner(Runner())

        with pytest.raises(RunnerNotFound) as raised:
            plugins.runner("pigeon", "task 't_pay'")

        assert str(raised.value) == (
            "no task runner 'pigeon' is registered (registered: here), "
            "asked for by task 't_pay'; install the distribution that registers it"
        )

    def test_where_another_was_meant_nothing_is_said_to_be_installed(self, plugins):
        plugins.use_runner(Runner())

        with pytest.raises(RunnerNotFound) as raised:
            plugins.runner("heer")

        assert str(raised.value) == (
            "no task runner 'heer' is registered (registered: here); did you mean 'here'?"
        )


class TestOnePluginsObjectIsNotAnother:
    """So a test, or an application, may register what it likes in one of its own."""

    def test_nothing_that_is_registered_in_one_is_in_another(self, plugins, monkeypatch):
        monkeypatch.delenv(STORAGE_VARIABLE, raising=False)
        names_before = default_plugins().plugin_names()
        runners_before = default_plugins().runners.names()
        other = Plugins(load_entry_points=False)

        plugins.register(Offer(Runner), "mine")
        plugins.add_storage(MemoryStorage())
        plugins.storages.add(MemoryStorage)
        plugins.managers.add(TriggerManager)

        assert other.plugin_names() == [CORE]
        assert other.runners.names() == other.storages.names() == other.managers.names() == []
        with pytest.raises(StorageNotFound):
            other.storage()
        with pytest.raises(ManagerNotFound):
            other.managers.load("triggers")
        assert default_plugins().plugin_names() == names_before
        assert default_plugins().runners.names() == runners_before
        with pytest.raises(StorageNotFound):
            default_plugins().storage()

    def test_an_observer_hears_of_its_own_managers_alone(self, plugins):
        storage, observer = MemoryStorage(), Observer()
        plugins.register(observer)

        for used in (plugins, Plugins(load_entry_points=False), default_plugins()):
            TriggerManager("s-1", storage=storage, plugins=used).fire("ordered")

        assert observer.heard == ["ordered"]

    def test_each_builds_its_own_runner(self, plugins):
        other = Plugins(load_entry_points=False)
        for each in (plugins, other):
            each.runners.add(Runner)

        assert plugins.runner("here") is not other.runner("here")

    def test_the_default_ones_are_one_object_with_what_is_installed(self):
        assert default_plugins() is default_plugins()
        assert default_plugins().managers.load("triggers") is TriggerManager
        assert default_plugins().storages.load("memory") is MemoryStorage
        assert default_plugins().storages.load("sqlite") is SqliteStorage


def test_listing_names_what_is_given_in_code(plugins):
    plugins.register(Offer(Runner))

    [line] = plugins.runners.listing()

    assert line == Registration("here", distribution=None, version=None, problem=None)
