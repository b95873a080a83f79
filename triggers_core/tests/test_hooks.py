"""Every hook is called where its docstring says: when, with what, on which side, outside locks.

What a hook may decide on the way is in ``test_hooks_dispatch`` and ``test_hooks_worker``, when a
session has settled in ``test_settled``.
"""

import logging
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from triggers_core import InvalidKwargs, PluginError, SessionClosed, Status, hookimpl, hookspecs
from triggers_core.cli import commands
from triggers_core.plugins.in_use import OBSERVERS

from .conftest import HeldManager
from .hooked import TARGETS, Recorder, configuration, failing

DEADLINE_SECONDS = 20.0
"""Until what never happens counts as such."""

HOOKS = [name for name in vars(hookspecs) if name.startswith("triggers_")]


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
        ("resolve_task", f"{TARGETS}.pay"),
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
    manager = HeldManager("s-1", storage=storage, plugins=plugins)
    probe = Probe(hook_name, manager)
    plugins.register(probe)

    manager.update_configuration(
        {
            "t_retried": {"after": ["ordered"], "run": f"{TARGETS}.retry_once", "audit": True},
            "t_skipped": {"after": ["ordered"], "run": f"{TARGETS}.skip"},
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
                    "run": f"{TARGETS}.pay",
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
            {"t_pay": {"after": ["ordered", "packed", "sent"], "run": f"{TARGETS}.pay"}}
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
                "t_retried": {"after": ["ordered"], "run": f"{TARGETS}.retry_once"},
                "t_skipped": {"after": ["ordered"], "run": f"{TARGETS}.skip"},
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
