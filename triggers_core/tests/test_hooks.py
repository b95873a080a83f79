"""Every hook is called where its docstring says: when, with what, on which side, outside locks."""

import logging
import threading
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from triggers_core import (
    BaseTaskRunner,
    ConfigurationError,
    DispatchError,
    InvalidKwargs,
    MemoryStorage,
    PluginError,
    Plugins,
    RunnerNotFound,
    SessionClosed,
    SqliteStorage,
    Status,
    TaskInterruption,
    TriggerManager,
    TriggerTask,
    execute,
    hookimpl,
    hookspecs,
    trigger_task,
)
from triggers_core.cli import commands
from triggers_core.plugins.in_use import OBSERVERS

DEADLINE_SECONDS = 20.0
"""Until what never happens counts as such."""

HOOKS = [name for name in vars(hookspecs) if name.startswith("triggers_")]


class HeldRunner(BaseTaskRunner):
    """Holds what it is handed until the test plays the worker."""

    name = "held"

    def __init__(self):
        self.held = deque()

    def run(self, manager, task_instance):
        self.held.append((manager, task_instance))

    def work(self):
        """Run what is held, and what comes of it, to the end."""
        while self.held:
            manager, instance = self.held.popleft()
            execute(manager, instance, resolve=self.resolve)


class Manager(TriggerManager):
    name = "tested"
    default_task_runner_name = "held"


@trigger_task
def pay(context):
    return {"paid": True}


class Pay(TriggerTask):
    def run(self, context):
        return {"paid": True}


@trigger_task
def tell_what_was_fired(context):
    return context.trigger_kwargs


@trigger_task
def retry_once(context):
    if context.attempt == 1:
        context.retry()


@trigger_task
def skip(context):
    context.skip()


@trigger_task
def fail(context):
    raise RuntimeError("no money")


def configuration(run, **directives):
    return {"t_pay": {"after": ["ordered"], "run": f"{__name__}.{run}", **directives}}


class Recorder:
    """Implements every hook, decides nothing, and keeps each call in order."""

    def __init__(self):
        self.story = []
        self._calls = []

    def of(self, hook_name):
        """Return the arguments of each call of one hook."""
        return [arguments for called, arguments in self._calls if called == hook_name]

    def clear(self):
        self.story.clear()
        self._calls.clear()

    def _hear(self, hook_name, *about, **arguments):
        self.story.append((hook_name, *about))
        self._calls.append((hook_name, SimpleNamespace(**arguments)))

    @hookimpl
    def triggers_validate_directive(self, task_name, directive):
        self._hear("validate_directive", task_name, directive)

    @hookimpl
    def triggers_select_runner(self, task_instance):
        self._hear("select_runner", task_instance.name)

    @hookimpl
    def triggers_run(self, task_instance):
        self._hear("run", task_instance.name)

    @hookimpl
    def triggers_resolve_task(self, target):
        self._hear("resolve_task", target)

    @hookimpl
    def triggers_execute(self, context):
        self._hear("execute", context.instance.name)

    @hookimpl
    def triggers_fired(self, manager, trigger_name, trigger_kwargs, outcome):
        self._hear(
            "fired",
            trigger_name,
            manager=manager,
            trigger_name=trigger_name,
            trigger_kwargs=trigger_kwargs,
            outcome=outcome,
        )

    @hookimpl
    def triggers_status_changed(self, manager, task_instance, old_status):
        self._hear(
            "status_changed",
            task_instance.name,
            old_status,
            task_instance.status,
            manager=manager,
        )

    @hookimpl
    def triggers_replayed(self, manager, task_instance, clone):
        self._hear(
            "replayed",
            task_instance.name,
            clone.name,
            manager=manager,
            task_instance=task_instance,
            clone=clone,
        )

    @hookimpl
    def triggers_skipped(self, manager, task_instance):
        self._hear("skipped", task_instance.name, manager=manager, task_instance=task_instance)

    @hookimpl
    def triggers_closed(self, manager, closing):
        self._hear("closed", closing, manager=manager, closing=closing)

    @hookimpl
    def triggers_settled(self, manager):
        self._hear("settled", manager=manager)


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    """Of each kind, where a lock that is held would matter."""
    storage = MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "t.db")
    yield storage
    storage.close()


@pytest.fixture
def runner():
    return HeldRunner()


@pytest.fixture
def plugins(runner):
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(runner)
    return plugins


@pytest.fixture
def recorder(plugins):
    recorder = Recorder()
    plugins.register(recorder, "recorder")
    return recorder


@pytest.fixture
def manager(plugins):
    return Manager("s-1", storage=MemoryStorage(), plugins=plugins)


def test_one_task_from_the_trigger_to_the_end(manager, runner, recorder):
    """The application's side ends with the dispatch; the worker's has the rest."""
    manager.update_configuration(configuration("pay", audit=True))
    assert recorder.story == [("validate_directive", "t_pay", "audit")]

    recorder.clear()
    manager.fire("ordered")
    assert recorder.story == [
        ("fired", "ordered"),
        ("status_changed", "t_pay#0", None, Status.SCHEDULED),
        ("select_runner", "t_pay#0"),
        ("run", "t_pay#0"),
    ]

    recorder.clear()
    runner.work()
    assert recorder.story == [
        ("resolve_task", f"{__name__}.pay"),
        ("status_changed", "t_pay#0", Status.SCHEDULED, Status.RUNNING),
        ("execute", "t_pay#0"),
        ("fired", "t_pay"),
        ("status_changed", "t_pay#0", Status.RUNNING, Status.FINISHED),
        ("settled",),
    ]


class Probe:
    """At its hook's first call, uses the session from another thread.

    A lock or a transaction that is held during the call makes that wait, and so is found.
    """

    def __init__(self, hook_name, manager):
        self.session_was_free = None
        self._manager = manager
        setattr(self, hook_name, self._use_session_once)

    @hookimpl
    def _use_session_once(self):
        if self.session_was_free is None:
            self.session_was_free = False
            used = threading.Event()
            threading.Thread(target=self._use_session, args=[used], daemon=True).start()
            self.session_was_free = used.wait(DEADLINE_SECONDS)

    def _use_session(self, used):
        with suppress(SessionClosed):  # which is raised from within the transaction
            self._manager.fire("aside")
        self._manager.instances()
        used.set()


@pytest.mark.parametrize(
    "hook_name",
    [name for name in HOOKS if name not in ("triggers_runners", "triggers_register_commands")],
)
def test_a_hook_may_fire_and_read(hook_name, storage, plugins, runner):
    """Each is called outside the transaction and outside every lock."""
    manager = Manager("s-1", storage=storage, plugins=plugins)
    probe = Probe(hook_name, manager)
    plugins.register(probe)

    manager.update_configuration(
        {
            "t_retried": {"after": ["ordered"], "run": f"{__name__}.retry_once", "audit": True},
            "t_skipped": {"after": ["ordered"], "run": f"{__name__}.skip"},
        }
    )
    manager.fire("ordered")
    runner.work()
    manager.close()

    assert probe.session_was_free
    assert [(i.name, i.status) for i in manager.instances()] == [
        ("t_retried#0", Status.REPLAYED),
        ("t_retried#1", Status.FINISHED),
        ("t_skipped#0", Status.SKIPPED),
    ]


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


def failing(hook_name):
    """Return a plugin that raises in the hook."""

    @hookimpl(specname=hook_name)
    def out_of_order():
        raise ZeroDivisionError("out of order")

    return SimpleNamespace(out_of_order=out_of_order)


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

        assert self.run_target(f"{__name__}.pay", manager, runner).status is Status.FINISHED

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


class TestObservers:
    def test_fired_is_told_what_was_fired_and_what_it_did(self, manager, runner, recorder):
        manager.update_configuration(configuration("pay"))

        outcome = manager.fire("ordered", {"id": 7})
        runner.work()

        ordered, cascade = recorder.of("fired")
        assert (ordered.manager, ordered.trigger_name) == (manager, "ordered")
        assert ordered.trigger_kwargs == {"id": 7}
        assert ordered.outcome == outcome
        assert (cascade.trigger_name, cascade.trigger_kwargs) == ("t_pay", {"paid": True})

    def test_fired_is_told_once_of_each_event_id(self, manager, recorder):
        """F6: the second fire changes nothing, so there is nothing to tell."""
        manager.fire("ordered", event_id="e-1")
        manager.fire("ordered", event_id="e-1")

        assert [call.trigger_name for call in recorder.of("fired")] == ["ordered"]

    def test_fired_is_told_of_each_of_several(self, manager, recorder):
        manager.fire_many([("ordered",), ("packed",)])

        assert recorder.story == [("fired", "ordered"), ("fired", "packed")]

    def test_a_refused_trigger_tells_nobody(self, manager, recorder):
        with pytest.raises(InvalidKwargs, match="when"):
            manager.fire("ordered", {"when": object()})

        assert recorder.story == []

    def test_status_changed_is_told_of_each_step(self, manager, recorder):
        manager.update_configuration(
            {
                "t_pay": {
                    "after": ["ordered", "packed"],
                    "unless": ["cancelled"],
                    "run": f"{__name__}.pay",
                }
            }
        )

        manager.fire("ordered")
        manager.fire("cancelled")

        assert recorder.story == [
            ("fired", "ordered"),
            ("status_changed", "t_pay#0", None, Status.UNSTARTED),
            ("fired", "cancelled"),
            ("status_changed", "t_pay#0", Status.UNSTARTED, Status.ABANDONED),
        ]
        assert all(call.manager is manager for call in recorder.of("status_changed"))

    def test_a_trigger_taken_without_a_new_status_is_not_told_as_one(self, manager, recorder):
        manager.update_configuration(
            {"t_pay": {"after": ["ordered", "packed", "sent"], "run": f"{__name__}.pay"}}
        )
        manager.fire("ordered")
        recorder.clear()

        manager.fire("packed")

        assert recorder.story == [("fired", "packed")]

    def test_replayed_is_told_of_a_retry_on_the_worker(self, manager, runner, recorder):
        manager.update_configuration(configuration("retry_once"))
        manager.fire("ordered")
        assert recorder.of("replayed") == []

        runner.work()

        [call] = recorder.of("replayed")
        assert (call.task_instance.name, call.task_instance.status) == (
            "t_pay#0",
            Status.REPLAYED,
        )
        assert (call.clone.name, call.clone.attempt, call.clone.status) == (
            "t_pay#1",
            2,
            Status.SCHEDULED,
        )

    def test_replayed_is_told_of_a_replay_by_hand(self, manager, runner, recorder):
        manager.update_configuration(configuration("fail"))
        manager.fire("ordered")
        runner.work()
        assert recorder.of("replayed") == []

        clone = manager.replay_failed_instance("t_pay#0")

        [call] = recorder.of("replayed")
        assert call.manager is manager
        assert (call.task_instance.name, call.clone) == ("t_pay#0", clone)

    def test_skipped_is_told_of_a_task_that_skips(self, manager, runner, recorder):
        manager.update_configuration(configuration("skip"))
        manager.fire("ordered")
        assert recorder.of("skipped") == []

        runner.work()

        [call] = recorder.of("skipped")
        assert (call.task_instance.name, call.task_instance.status) == ("t_pay#0", Status.SKIPPED)

    def test_skipped_is_told_of_a_skip_by_hand(self, manager, runner, recorder):
        manager.update_configuration(configuration("fail"))
        manager.fire("ordered")
        runner.work()
        assert recorder.of("skipped") == []

        skipped = manager.skip_failed_instance("t_pay#0")

        [call] = recorder.of("skipped")
        assert (call.manager, call.task_instance) == (manager, skipped)

    @pytest.mark.parametrize("observer", OBSERVERS)
    def test_one_that_fails_is_logged_and_the_others_still_run(
        self, observer, manager, plugins, runner, caplog
    ):
        heard = Recorder()
        plugins.register(heard, "called last")
        plugins.register(failing(observer), "the faulty one")
        manager.update_configuration(
            {
                "t_retried": {"after": ["ordered"], "run": f"{__name__}.retry_once"},
                "t_skipped": {"after": ["ordered"], "run": f"{__name__}.skip"},
            }
        )

        manager.fire("ordered")
        runner.work()
        manager.close()

        logged = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(logged) == len(heard.of(observer.removeprefix("triggers_"))) > 0
        assert all("'the faulty one'" in record.getMessage() for record in logged)
        assert all(observer in record.getMessage() for record in logged)
        assert all(record.exc_info[0] is ZeroDivisionError for record in logged)
        assert [(i.name, i.status) for i in manager.instances()] == [
            ("t_retried#0", Status.REPLAYED),
            ("t_retried#1", Status.FINISHED),
            ("t_skipped#0", Status.SKIPPED),
        ]

    @pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
    @pytest.mark.parametrize("observer", OBSERVERS)
    def test_one_that_is_a_wrapper_is_refused(self, observer, kind, plugins):
        def wrap():
            yield

        plugin = SimpleNamespace(**{observer: hookimpl(wrap, **{kind: True})})

        with pytest.raises(PluginError, match=f"'wrapping'.*{observer} is an observer"):
            plugins.register(plugin, "wrapping")

        assert "wrapping" not in plugins.plugin_names()
        assert not plugins.has_hook(observer)


def test_what_an_observer_does_to_kwargs_does_not_reach_the_task(manager, runner, plugins):
    class Meddler:
        @hookimpl
        def triggers_fired(self, trigger_kwargs):
            trigger_kwargs["euros"] = 0

        @hookimpl
        def triggers_status_changed(self, task_instance):
            task_instance.trigger_kwargs["ordered"]["euros"] = 0

    plugins.register(Meddler())
    manager.update_configuration(configuration("tell_what_was_fired"))
    manager.fire("ordered", {"euros": 40})

    runner.work()

    assert manager.instance("t_pay#0").metadata["result"] == {"ordered": {"euros": 40}}


class TestSettled:
    def test_a_retry_settles_when_its_clone_has_ended(self, manager, runner, recorder):
        manager.update_configuration(configuration("retry_once"))
        manager.fire("ordered")

        runner.work()

        assert [call.manager for call in recorder.of("settled")] == [manager]
        assert recorder.story[-2:] == [
            ("status_changed", "t_pay#1", Status.RUNNING, Status.FINISHED),
            ("settled",),
        ]

    @pytest.mark.parametrize("run", ["pay", "skip", "fail"])
    def test_every_way_to_end_settles_once(self, run, manager, runner, recorder):
        manager.update_configuration(configuration(run))
        manager.fire("ordered")

        runner.work()

        assert len(recorder.of("settled")) == 1

    def test_a_cascade_settles_with_its_last_task(self, manager, runner, recorder):
        manager.update_configuration(
            {
                **configuration("pay"),
                "t_ship": {"after": ["t_pay"], "run": f"{__name__}.pay"},
            }
        )
        manager.fire("ordered")

        runner.work()

        assert len(recorder.of("settled")) == 1
        assert recorder.story[-2:] == [
            ("status_changed", "t_ship#0", Status.RUNNING, Status.FINISHED),
            ("settled",),
        ]

    def test_a_session_settles_anew_each_time(self, manager, runner, recorder):
        manager.update_configuration(configuration("pay", andEvery="ordered"))

        for _ in range(3):
            manager.fire("ordered")
            runner.work()

        assert len(recorder.of("settled")) == 3

    def test_what_starts_nothing_settles_nothing(self, manager, runner, recorder):
        manager.update_configuration(configuration("fail"))
        manager.fire("unknown")
        assert recorder.of("settled") == []
        manager.fire("ordered")
        runner.work()
        recorder.clear()

        manager.skip_failed_instance("t_pay#0")

        assert recorder.of("settled") == []

    def test_of_tasks_that_end_at_once_the_last_one_settles(
        self, storage, plugins, runner, monkeypatch
    ):
        """Whoever looked at the session after its commit would find it settled by the others."""
        tasks = 6
        settled = []

        class Watcher:
            @hookimpl
            def triggers_settled(self, manager):
                settled.append(Counter(str(i.status) for i in manager.instances()))

        plugins.register(Watcher())
        manager = Manager("s-1", storage=storage, plugins=plugins)
        manager.update_configuration(
            {
                f"t_{number}": {"after": ["ordered"], "run": f"{__name__}.pay"}
                for number in range(tasks)
            }
        )
        manager.fire("ordered")
        monkeypatch.setattr(
            storage, "transaction", meeting_after(storage.transaction, threading.Barrier(tasks))
        )

        with ThreadPoolExecutor(tasks) as workers:
            ended = list(workers.map(lambda held: execute(*held), runner.held))

        assert {instance.status for instance in ended} == {Status.FINISHED}
        assert settled == [Counter(finished=tasks)]


def meeting_after(transaction, barrier):
    """Return ``transaction`` with a wait for all the others after each commit."""

    @contextmanager
    def meet(*arguments):
        with transaction(*arguments) as unit:
            yield unit
        barrier.wait(DEADLINE_SECONDS)

    return meet


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
                    "t_first": {"after": ["ordered"], "run": f"{__name__}.pay"},
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


class TestRegisterCommands:
    def test_a_plugin_adds_a_command(self, plugins):
        class Greeter:
            @hookimpl
            def triggers_register_commands(self, cli):
                @cli.command()
                def greet(name: str):
                    print(f"hello {name}")

        plugins.register(Greeter())
        invoked = CliRunner().invoke(commands.build(plugins), ["greet", "Ada"])

        assert invoked.exit_code == 0
        assert invoked.output == "hello Ada\n"

    def test_an_exception_is_told_and_the_other_commands_are_there(self, plugins):
        name = plugins.register(failing("triggers_register_commands"))
        invoked = CliRunner().invoke(commands.build(plugins), ["plugins"])

        assert invoked.exit_code == 0
        (left_out,) = plugins.left_out
        assert left_out.name == name
        assert left_out.problem.endswith("added: ZeroDivisionError: out of order")
        assert left_out.problem in invoked.stderr


class TestRunners:
    """``triggers_runners`` itself; what the offers are worth is in test_plugins."""

    class Offer:
        def __init__(self, *runner_classes):
            self.runner_classes = runner_classes
            self.calls = 0

        @hookimpl
        def triggers_runners(self):
            self.calls += 1
            return self.runner_classes

    def test_it_is_called_once_when_its_plugin_is_registered(self, plugins):
        first, second = self.Offer(), self.Offer()

        plugins.register(first)
        assert first.calls == 1
        plugins.register(second)

        assert (first.calls, second.calls) == (1, 1)

    def test_an_exception_keeps_its_plugin_out(self, plugins):
        with pytest.raises(PluginError, match=r"'faulty'.*triggers_runners.*out of order"):
            plugins.register(failing("triggers_runners"), "faulty")

        assert "faulty" not in plugins.plugin_names()
