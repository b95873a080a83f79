"""Hooks that decide on the worker's side: which task a target is, and what is around its run."""

import pytest

from triggers_core import Status, TaskInterruption, hookimpl

from .hooked import TARGETS, Pay, configuration, failing, pay


@pytest.mark.parametrize("hook_name", ["triggers_resolve_task", "triggers_execute"])
def test_an_exception_on_the_worker_fails_the_instance(hook_name, manager, plugins, runner):
    plugins.register(failing(hook_name))
    manager.update_configuration(configuration("pay"))

    manager.fire("ordered")
    runner.work()

    failed = manager.instance("t_pay#0")
    assert failed.status is Status.FAILED
    assert failed.metadata["error"]["type"] == "ZeroDivisionError"
    assert failed.metadata["error"]["message"] == "out of order"


class TestResolveTask:
    class Resolver:
        def __init__(self, tasks):
            self.tasks = tasks
            self.asked = []

        @hookimpl
        def triggers_resolve_task(self, manager, target):
            self.asked.append((manager, target))
            return self.tasks.get(target)

    def run_target(self, target, manager, runner):
        manager.update_configuration({"t_pay": {"after": ["ordered"], "run": target}})
        manager.fire("ordered")
        runner.work()
        return manager.instance("t_pay#0")

    def test_a_target_may_be_what_no_import_finds(self, manager, plugins, runner):
        resolver = self.Resolver({"mail:pay": pay})
        plugins.register(resolver)

        ended = self.run_target("mail:pay", manager, runner)

        assert ended.metadata["result"] == {"paid": True}
        assert resolver.asked == [(manager, "mail:pay")]

    def test_none_leaves_the_target_to_the_import(self, manager, plugins, runner):
        plugins.register(self.Resolver({}))

        assert self.run_target(f"{TARGETS}.pay", manager, runner).status is Status.FINISHED

    def test_a_class_is_instantiated_as_an_imported_one_is(self, manager, plugins, runner):
        plugins.register(self.Resolver({"mail:pay": Pay}))

        assert self.run_target("mail:pay", manager, runner).status is Status.FINISHED

    def test_an_answer_that_is_no_task_fails_the_instance(self, manager, plugins, runner):
        plugins.register(self.Resolver({"mail:pay": len}))

        ended = self.run_target("mail:pay", manager, runner)

        assert ended.status is Status.FAILED
        assert "'mail:pay' is a builtin_function_or_method" in ended.metadata["error"]["message"]

    @pytest.mark.parametrize(
        ("setting", "value"), [("max_retries", "3"), ("cooldown", -1), ("on_worker_lost", "wait")]
    )
    def test_a_task_set_up_wrongly_fails_the_instance(
        self, setting, value, manager, plugins, runner
    ):
        plugins.register(self.Resolver({"mail:pay": type("Slow", (Pay,), {setting: value})}))

        ended = self.run_target("mail:pay", manager, runner)

        assert ended.status is Status.FAILED
        assert f"'mail:pay': {setting} must be" in ended.metadata["error"]["message"]


class TestExecute:
    def test_a_wrapper_is_around_the_task(self, manager, plugins, runner):
        seen = []

        class Timer:
            @hookimpl(wrapper=True)
            def triggers_execute(self, context, task):
                seen.append((context.instance.name, context.instance.status, task))
                result = yield
                seen.append(result)
                return {**result, "seconds": 0.5}

        plugins.register(Timer())
        manager.update_configuration(configuration("pay"))

        manager.fire("ordered")
        runner.work()

        assert seen == [("t_pay#0", Status.RUNNING, pay), {"paid": True}]
        assert manager.instance("t_pay#0").metadata["result"] == {"paid": True, "seconds": 0.5}

    @pytest.mark.parametrize(
        ("run", "status"), [("retry_once", Status.REPLAYED), ("skip", Status.SKIPPED)]
    )
    def test_a_retry_or_skip_passes_through_a_wrapper(self, run, status, manager, plugins, runner):
        passed = []

        class Timer:
            @hookimpl(wrapper=True)
            def triggers_execute(self):
                try:
                    return (yield)
                except TaskInterruption as interruption:
                    passed.append(interruption)
                    raise

        plugins.register(Timer())
        manager.update_configuration(configuration(run))

        manager.fire("ordered")
        runner.work()

        assert manager.instance("t_pay#0").status is status
        assert len(passed) == 1
