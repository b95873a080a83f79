"""Hooks that decide on the application's side: on directives, on the runner, on the way to it."""

import pytest

from triggers_core import (
    ConfigurationError,
    DispatchError,
    MemoryStorage,
    RunnerNotFound,
    Status,
    TriggerManager,
    hookimpl,
)

from .conftest import HeldRunner
from .hooked import TARGETS, configuration, failing


class TestValidateDirective:
    class Audit:
        """Claims the directive ``audit``, which is a bool."""

        def __init__(self, directive="audit"):
            self.directive = directive
            self.asked = []

        @hookimpl
        def triggers_validate_directive(self, task_name, directive, value):
            self.asked.append((task_name, directive, value))
            if directive != self.directive:
                return None
            if not isinstance(value, bool):
                raise ValueError(f"expected true or false, not {value!r}")
            return True

    def test_a_claimed_directive_is_kept(self, manager, plugins):
        """C7: what a plugin claims stands in ``extras``."""
        audit = self.Audit()
        plugins.register(audit)

        manager.update_configuration(configuration("pay", audit=True))

        assert audit.asked == [("t_pay", "audit", True)]
        assert manager.configuration()["t_pay"].extras == {"audit": True}

    def test_a_refused_value_is_an_error_that_changes_nothing(self, manager, plugins):
        """C7, C8"""
        plugins.register(self.Audit())

        with pytest.raises(
            ConfigurationError, match="task 't_pay', directive 'audit': expected true or false"
        ):
            manager.update_configuration(
                {
                    "t_first": {"after": ["ordered"], "run": f"{TARGETS}.pay"},
                    **configuration("pay", audit="yes"),
                }
            )

        assert list(manager.configuration()) == []

    def test_a_directive_that_looks_like_a_typo_may_be_claimed(self, manager, plugins):
        """C7: it is an error only while nobody claims it."""
        with pytest.raises(ConfigurationError, match="did you mean 'after'"):
            manager.update_configuration(configuration("pay", afer=True))
        plugins.register(self.Audit("afer"))

        manager.update_configuration(configuration("pay", afer=True))

        assert manager.configuration()["t_pay"].extras == {"afer": True}

    def test_a_plugin_that_does_not_know_a_directive_leaves_it_to_the_next(self, manager, plugins):
        first, last = self.Audit("throttle"), self.Audit("audit")
        plugins.register(last)
        plugins.register(first)

        with pytest.raises(ConfigurationError, match="expected true or false"):
            manager.update_configuration(configuration("pay", audit=3))

        assert (len(first.asked), len(last.asked)) == (1, 1)


class TestSelectRunner:
    class Chooser:
        def __init__(self, choice):
            self.choice = choice
            self.asked = []

        @hookimpl
        def triggers_select_runner(self, manager, task_config, task_instance):
            self.asked.append((manager, task_config.name, task_instance.name))
            return self.choice

    class OtherRunner(HeldRunner):
        name = "other"

    def test_its_choice_is_above_the_managers_default(self, manager, plugins, runner):
        other = self.OtherRunner()
        plugins.use_runner(other)
        chooser = self.Chooser("other")
        plugins.register(chooser)
        manager.update_configuration(configuration("pay"))

        manager.fire("ordered")

        assert (len(other.held), len(runner.held)) == (1, 0)
        assert chooser.asked == [(manager, "t_pay", "t_pay#0")]

    def test_none_leaves_it_to_the_next_plugin_then_to_the_default(self, manager, plugins, runner):
        first, last = self.Chooser(None), self.Chooser(None)
        plugins.register(last)
        plugins.register(first)
        manager.update_configuration(configuration("pay"))

        manager.fire("ordered")

        assert (len(first.asked), len(last.asked), len(runner.held)) == (1, 1, 1)

    def test_it_is_not_asked_where_the_task_says_using(self, manager, plugins, runner):
        chooser = self.Chooser("other")
        plugins.register(chooser)
        manager.update_configuration(configuration("pay", using="held"))

        manager.fire("ordered")

        assert chooser.asked == []
        assert len(runner.held) == 1

    def test_a_choice_that_is_not_installed_is_a_dispatch_error(self, manager, plugins):
        plugins.register(self.Chooser("pigeon"))
        manager.update_configuration(configuration("pay"))

        with pytest.raises(DispatchError, match="'pigeon'") as raised:
            manager.fire("ordered")

        assert isinstance(raised.value.__cause__, RunnerNotFound)
        assert manager.instance("t_pay#0").status is Status.SCHEDULED

    def test_the_default_need_not_be_installed_where_a_plugin_chooses(self, plugins, runner):
        manager = TriggerManager("s-1", storage=MemoryStorage(), plugins=plugins)
        with pytest.raises(RunnerNotFound, match="celery"):
            manager.update_configuration(configuration("pay"))
        plugins.register(self.Chooser("held"))

        manager.update_configuration(configuration("pay"))
        manager.fire("ordered")

        assert len(runner.held) == 1


class TestRun:
    def test_a_wrapper_is_around_the_runner(self, manager, plugins, runner):
        seen = []

        class Tracer:
            @hookimpl(wrapper=True)
            def triggers_run(self, runner, manager, task_instance):
                seen.append((runner, manager, task_instance.name, len(runner.held)))
                accepted = yield
                seen.append((accepted, len(runner.held)))
                return accepted

        plugins.register(Tracer())
        manager.update_configuration(configuration("pay"))

        manager.fire("ordered")

        assert seen == [(runner, manager, "t_pay#0", 0), (True, 1)]

    def test_an_implementation_that_answers_stands_in_for_the_runner(
        self, manager, plugins, runner
    ):
        taken = []

        class Redirect:
            @hookimpl
            def triggers_run(self, task_instance):
                taken.append(task_instance.name)
                return True

        plugins.register(Redirect())
        manager.update_configuration(configuration("pay"))

        manager.fire("ordered")

        assert taken == ["t_pay#0"]
        assert not runner.held


@pytest.mark.parametrize("hook_name", ["triggers_select_runner", "triggers_run"])
def test_an_exception_on_the_way_to_the_runner_is_a_dispatch_error(hook_name, manager, plugins):
    """F7: the trigger is recorded, and the instance waits for recovery."""
    plugins.register(failing(hook_name))
    manager.update_configuration(configuration("pay"))

    with pytest.raises(DispatchError, match=r"t_pay#0.*out of order.*do not fire it again") as got:
        manager.fire("ordered")

    assert got.value.instance_names == ("t_pay#0",)
    assert isinstance(got.value.__cause__, ZeroDivisionError)
    assert manager.instance("t_pay#0").status is Status.SCHEDULED
