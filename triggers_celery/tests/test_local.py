"""Celery tasks under runners that know nothing of Celery: no broker, no worker, no message."""

import logging
import threading

import pytest
from celery import Celery

from triggers_celery import CeleryTaskRunner, CeleryTriggerTask
from triggers_core import (
    BaseTaskRunner,
    MemoryStorage,
    Plugins,
    TriggerManager,
    execute,
    hookimpl,
    trigger_task,
)
from triggers_core.testing import (
    assert_failed,
    assert_finished,
    assert_replayed,
    assert_skipped,
    assert_unstarted,
)

NO_BROKER = "amqp://guest:guest@127.0.0.1:1//"


class InlineRunner(BaseTaskRunner):
    """A third party's: it runs a task before the fire returns."""

    name = "inline"
    capabilities = frozenset({"inline"})

    def run(self, manager, task_instance):
        execute(manager, task_instance, resolve=self.resolve)


@pytest.fixture
def orders(load_orders, monkeypatch, tmp_path):
    monkeypatch.setenv("ORDERS_TRACES", str(tmp_path / "traces"))
    return load_orders({"broker_url": NO_BROKER})


@pytest.fixture
def app():
    return Celery("local", broker=NO_BROKER, set_as_current=False)


@pytest.fixture
def plugins(app):
    """Earlier tests' apps may have the task too."""
    plugins = Plugins()
    plugins.use_runner(CeleryTaskRunner(app))
    plugins.use_runner(InlineRunner())
    return plugins


@pytest.fixture
def manager(plugins):
    return TriggerManager("session", storage=MemoryStorage(), plugins=plugins)


def declare(app, function, base=CeleryTriggerTask, **options):
    """Make the function the app's task ``local.task``."""
    return app.task(name="local.task", base=base, shared=False, **options)(function)


def nothing(context):
    """A task that does nothing."""


def run_it(manager, kwargs=None, run="local.task"):
    """Fire the task; return the only instance."""
    manager.update_configuration({"t": {"after": ["go"], "run": run, "using": "inline"}})
    manager.fire("go", kwargs)
    return manager.instance("t#0")


def test_the_fixtures_run_celery_tasks(orders, trigger_bench):
    trigger_bench.plugins.use_runner(CeleryTaskRunner(orders.app))
    manager = trigger_bench.manager()
    manager.update_configuration(
        {
            "t_first": {"after": ["go"], "run": "orders.retry_default_delay"},
            "t_next": {"after": ["t_first"], "run": "orders.described"},
        }
    )
    manager.fire("go")
    trigger_bench.settle()
    assert_replayed(manager, "t_first#0", by="t_first#1")

    trigger_bench.advance(seconds=0.5)
    assert_finished(manager, "t_first#1", result={"attempt": 2})
    assert_finished(manager, "t_next#0", result={"task": "orders.described", "took": ["t_first"]})


def test_the_default_delay_of_celery_is_the_cooldown_on_the_bench(app, trigger_bench):
    def retry(context):
        if context.attempt == 1:
            context.retry()

    declare(app, retry)
    trigger_bench.plugins.use_runner(CeleryTaskRunner(app))
    manager = trigger_bench.manager()
    manager.update_configuration({"t": {"after": ["go"], "run": "local.task"}})
    manager.fire("go")

    trigger_bench.advance(seconds=179)
    assert manager.instance("t#1").status == "scheduled"
    trigger_bench.advance(seconds=1)
    assert_finished(manager, "t#1")


def test_a_celery_task_stands_in_for_another_task(app, trigger_bench, trigger_manager):
    @app.task(base=CeleryTriggerTask, shared=False, bind=True)
    def stand_in(self, context):
        return {"id": self.request.id}

    trigger_bench.use_tasks({"shop.ship": stand_in})
    trigger_manager.update_configuration({"ship": {"after": ["paid"], "run": "shop.ship"}})
    trigger_manager.fire("paid")
    trigger_bench.settle()

    assert_finished(trigger_manager, "ship#0")


def test_any_task_stands_in_for_a_celery_task(orders, trigger_bench, trigger_manager):
    @trigger_task
    def stand_in(context):
        return {"stood": "in"}

    trigger_bench.use_tasks({"orders.note": stand_in})
    trigger_manager.update_configuration({"ship": {"after": ["paid"], "run": "orders.note"}})
    trigger_manager.fire("paid")
    trigger_bench.settle()

    assert_finished(trigger_manager, "ship#0", result={"stood": "in"})


def test_a_third_partys_runner_runs_a_celery_task(app, manager):
    def tell(self, context):
        return {"retries": self.request.retries}

    declare(app, tell, bind=True)

    assert run_it(manager).metadata["result"] == {"retries": 0}


def test_a_manager_class_without_a_name_of_its_own_will_do(app, plugins):
    """Nobody has to find it again: there is no worker."""

    class InThreads(TriggerManager):
        default_task_runner_name = "threading"

    declare(app, nothing)
    manager = InThreads("session", storage=MemoryStorage(), plugins=plugins)
    manager.update_configuration({"t": {"after": ["go"], "run": "local.task"}})
    manager.fire("go")
    plugins.runner("threading").join()

    assert_finished(manager, "t#0")


def test_a_call_of_the_applications_own_is_given_what_it_is_on_a_worker(app, manager):
    seen = []

    class Calling(CeleryTriggerTask):
        abstract = True

        def __call__(self, *args, **kwargs):
            seen.append((args, kwargs))
            return super().__call__(*args, **kwargs)

    declare(app, nothing, base=Calling)

    assert run_it(manager).status == "finished"
    (((message,), more),) = seen
    assert more == {}
    assert message == {
        "manager": "triggers",
        "storage": "default",
        "session": "session",
        "instance": "t#0",
        "attempt": 1,
    }


def test_a_call_that_runs_the_task_twice_has_it_run_once(app, manager):
    ran = []

    class Twice(CeleryTriggerTask):
        abstract = True

        def __call__(self, *args):
            first = self.run(*args)
            self.run(*args)
            return first

    def note(context):
        ran.append(context)

    declare(app, note, base=Twice)

    assert run_it(manager).status == "finished"
    assert len(ran) == 1


def test_a_call_that_does_not_run_the_task_fails_the_instance(app, manager):
    class Never(CeleryTriggerTask):
        abstract = True

        def __call__(self, *args):
            return {"ran": False}

    declare(app, nothing, base=Never)
    instance = run_it(manager)

    assert instance.status == "failed"
    assert instance.metadata["error"]["message"] == (
        "Celery task 'local.task': its __call__ did not run the task"
    )


@pytest.mark.parametrize("handler", ["__call__", "before_start"])
def test_what_fails_on_the_way_to_the_task_fails_the_instance(app, manager, handler):
    def refuse(self, *args):
        raise LookupError("no such shop")

    base = type("Refusing", (CeleryTriggerTask,), {"abstract": True, handler: refuse})
    declare(app, nothing, base=base)
    instance = run_it(manager)

    assert instance.status == "failed"
    assert instance.metadata["error"]["type"] == "LookupError"
    assert "in refuse" in instance.metadata["error"]["traceback"]


@pytest.mark.parametrize("handler", ["on_success", "after_return"])
def test_what_fails_after_the_task_is_logged_and_changes_nothing(app, manager, handler, caplog):
    def refuse(self, *args):
        raise LookupError("no such shop")

    base = type("Refusing", (CeleryTriggerTask,), {"abstract": True, handler: refuse})
    declare(app, nothing, base=base)
    instance = run_it(manager)

    assert instance.status == "finished"
    assert "session 'session': t#0 has ended, and then a handler raised" in caplog.text
    assert "LookupError: no such shop" in caplog.text


def test_an_error_of_the_task_wins_over_one_of_its_handler(app, manager):
    def refuse(self, *args):
        raise LookupError("no such shop")

    def fail(context):
        raise ZeroDivisionError("nothing to divide by")

    base = type("Refusing", (CeleryTriggerTask,), {"abstract": True, "on_failure": refuse})
    declare(app, fail, base=base)

    assert run_it(manager).metadata["error"]["type"] == "ZeroDivisionError"


def test_a_traceback_leads_from_the_task_on_and_not_through_celery(app, manager):
    def fail(context):
        raise ZeroDivisionError("nothing to divide by")

    declare(app, fail)
    text = run_it(manager).metadata["error"]["traceback"]

    assert "in fail" in text
    assert "celery/app/trace.py" not in text


def test_a_task_that_is_given_its_context_just_runs(app, manager):
    """As in a unit test of the application's own."""

    def tell(self, context):
        return {"name": context.instance.name}

    task = declare(app, tell, bind=True)
    contexts = []
    manager.plugins.register(Keeping(contexts))
    run_it(manager)

    assert task(contexts[0]) == {"name": "t#0"}


class Keeping:
    def __init__(self, contexts):
        self.contexts = contexts

    @hookimpl
    def triggers_execute(self, context):
        self.contexts.append(context)


def test_tasks_of_many_threads_have_a_request_each(app, manager):
    together = threading.Barrier(4)

    def meet(self, context):
        together.wait(30)
        return {"id": self.request.id, "name": self.request.args[0]["instance"]}

    declare(app, meet, bind=True)
    manager.update_configuration(
        {f"t{n}": {"after": ["go"], "run": "local.task", "using": "threading"} for n in range(4)}
    )
    manager.fire("go")
    manager.plugins.runner("threading").join()

    results = {i.name: i.metadata["result"] for i in manager.instances()}
    assert {name: result["name"] for name, result in results.items()} == {
        f"t{n}#0": f"t{n}#0" for n in range(4)
    }
    assert len({result["id"] for result in results.values()}) == 4


def test_a_task_within_a_task_leaves_the_outer_one_as_it_is(app, manager):
    """The inline runner runs a cascade's task in the thread of the one that fires it."""

    def fire_and_tell(self, context):
        if context.instance.task_name == "t":
            context.manager.fire("more")
        return {"instance": self.request.args[0]["instance"]}

    declare(app, fire_and_tell, bind=True)
    manager.update_configuration(
        {"inner": {"after": ["more"], "run": "local.task", "using": "inline"}}
    )
    run_it(manager)

    told = {i.name: i.metadata["result"]["instance"] for i in manager.instances()}
    assert told == {"t#0": "t#0", "inner#0": "inner#0"}


def test_a_task_that_skips_itself_or_ignores_is_skipped(orders, trigger_bench, trigger_manager):
    trigger_bench.plugins.use_runner(CeleryTaskRunner(orders.app))
    trigger_manager.update_configuration(
        {
            "skips": {"after": ["go"], "run": "orders.context_skip"},
            "ignores": {"after": ["go"], "run": "orders.ignore"},
            "follows": {"after": ["skips"], "run": "orders.described"},
            "waits": {"after": ["ignores", "go"], "run": "orders.described"},
        }
    )
    trigger_manager.fire("go")
    trigger_bench.settle()

    assert_skipped(trigger_manager, "skips#0")
    assert_skipped(trigger_manager, "ignores#0")
    assert_finished(trigger_manager, "follows#0")
    assert_unstarted(trigger_manager, "waits#0", waits_for={"ignores"})


def test_celery_says_of_a_failure_what_it_says_on_a_worker(orders, trigger_bench, caplog):
    trigger_bench.plugins.use_runner(CeleryTaskRunner(orders.app))
    manager = trigger_bench.manager()
    manager.update_configuration({"t": {"after": ["go"], "run": "orders.fail"}})
    with caplog.at_level(logging.INFO, "celery.app.trace"):
        manager.fire("go")
        trigger_bench.settle()

    assert_failed(manager, "t#0", error="ZeroDivisionError")
    assert "Task orders.fail[" in caplog.text
    assert "raised unexpected: ZeroDivisionError" in caplog.text
