"""How an attempt ends, and what is kept of that: rules X3 and X4."""

import re

import pytest

from triggers_core import Status, TriggerTask, hookimpl, trigger_task

from .looks import states
from .shop import BILL, SHIP, fail


class TestResult:
    """X3"""

    @pytest.mark.parametrize(
        ("returned", "kept"),
        [(None, {}), ({}, {}), ({"crate": [7, {"x": None}]}, {"crate": [7, {"x": None}]})],
    )
    def test_a_mapping_is_the_kwargs_of_the_cascade(self, returned, kept, manager, task, ship):
        task(lambda context: returned)

        instance = ship()

        assert (instance.status, instance.metadata["result"]) == (Status.FINISHED, kept)
        assert manager.instance("t_bill#0").trigger_kwargs == {"t_ship": kept}
        assert states(manager) == {"t_ship#0": "finished", "t_bill#0": "scheduled"}

    @pytest.mark.parametrize(
        ("returned", "expected"),
        [
            ("done", "not str"),
            (7, "not int"),
            (True, "not bool"),
            ([("a", 1)], "not list"),
            ({"when": {1}}, "when is set"),
            ({1: 2}, "key 1 is int"),
            ({"a": float("nan")}, "a is nan"),
        ],
    )
    def test_what_is_none_fails_the_task_and_nothing_cascades(
        self, returned, expected, manager, task, ship
    ):
        task(lambda context: returned)

        error = ship().metadata["error"]

        assert error["type"] == "InvalidKwargs"
        assert error["message"].startswith("task 't_ship', result: ")
        assert expected in error["message"]
        assert states(manager) == {"t_ship#0": "failed"}

    def test_the_cascade_is_named_after_the_task_and_not_after_the_instance(
        self, manager, runner, tasks
    ):
        tasks["shop.ship"] = trigger_task(lambda context: context.trigger_kwargs["paid"])
        tasks["shop.bill"] = trigger_task(lambda context: None)
        manager.update_configuration(
            {
                "t_ship": {**SHIP, "andEvery": "paid"},
                "t_bill": {**BILL, "andEvery": "t_ship"},
            }
        )
        for item in range(3):
            manager.fire("paid", {"item": item})
            runner.work()

        assert [
            instance.trigger_kwargs["t_ship"]["item"] for instance in manager.instances("t_bill")
        ] == [0, 1, 2]

    def test_an_end_that_cannot_be_recorded_whole_is_not_recorded(
        self, manager, runner, task, storage, stored, monkeypatch
    ):
        states_before = []

        def run(context):
            states_before.append(stored(storage))
            monkeypatch.setattr("triggers_core.rules.join.make", _breaks)

        task(run)
        manager.update_configuration({"t_ship": SHIP, "t_bill": BILL})
        manager.fire("paid")

        with pytest.raises(ZeroDivisionError):
            runner.work_once()

        assert [stored(storage)] == states_before
        assert states(manager) == {"t_ship#0": "running"}

    def test_a_task_class_is_made_anew_for_each_run(self, manager, runner, tasks):
        class Ship(TriggerTask):
            made = 0

            def __init__(self):
                type(self).made += 1

            def run(self, context):
                return {"crate": 7}

        tasks["shop.ship"] = Ship
        manager.update_configuration({"t_a": SHIP, "t_b": SHIP})
        manager.fire("paid")
        runner.work()

        assert Ship.made == 2
        assert states(manager) == {"t_a#0": "finished", "t_b#0": "finished"}

    def test_a_decorated_function_is_still_that_function(self):
        def ship(context):
            """Ship it."""
            return {"of": context}

        decorated = trigger_task(max_retries=1, cooldown=2)(ship)

        assert decorated("x") == ship("x")
        assert decorated.__doc__ == "Ship it."
        assert (decorated.max_retries, decorated.cooldown) == (1, 2.0)
        assert "ship" in repr(decorated)


class TestFailure:
    """X4"""

    def test_type_message_and_traceback_are_kept_and_nothing_cascades(self, manager, task, ship):
        task(fail)

        instance = ship()

        error = instance.metadata["error"]
        assert instance.status is Status.FAILED
        assert (error["type"], error["message"]) == ("RuntimeError", "out of stock")
        assert error["traceback"].startswith("Traceback (most recent call last):")
        assert 'raise RuntimeError("out of stock")' in error["traceback"]
        assert error["traceback"].endswith("RuntimeError: out of stock\n")
        assert states(manager) == {"t_ship#0": "failed"}

    def test_the_traceback_begins_in_the_task(self, manager, task, ship, plugins):
        class Wrapping:
            @hookimpl(wrapper=True)
            def triggers_execute(self):
                return (yield)

        def break_down(context):
            raise RuntimeError("out of stock")

        plugins.register(Wrapping())
        task(break_down)

        frames = re.findall("File .*, in (.*)", ship().metadata["error"]["traceback"])

        assert frames == ["break_down"]

    def test_the_traceback_is_whole_where_the_task_was_not_reached(self, task, ship, plugins):
        class Faulty:
            @hookimpl(tryfirst=True)
            def triggers_execute(self):
                raise RuntimeError("no room")

        plugins.register(Faulty())
        task(lambda context: None)

        frames = re.findall("File .*, in (.*)", ship().metadata["error"]["traceback"])

        assert (frames[0], frames[-1]) == ("_execute", "triggers_execute")

    def test_the_traceback_is_whole_where_the_task_cannot_be_called(self, task, ship):
        task(lambda: None)

        error = ship().metadata["error"]

        assert error["type"] == "TypeError"
        assert re.findall("File .*, in (.*)", error["traceback"])[-1] == "run"

    def test_the_cause_is_in_the_traceback(self, task, ship):
        def run(context):
            try:
                fail(context)
            except RuntimeError as error:
                raise LookupError("no crate") from error

        task(run)

        assert "RuntimeError: out of stock" in ship().metadata["error"]["traceback"]

    def test_an_error_without_a_message_that_can_be_had_is_recorded_all_the_same(self, task, ship):
        class Mute(Exception):
            def __str__(self):
                raise ValueError

        def run(context):
            raise Mute

        task(run)

        error = ship().metadata["error"]
        assert error["type"] == "Mute"
        assert error["message"] == "(its message cannot be had: ValueError)"

    def test_an_error_that_breaks_whoever_describes_it_is_recorded_all_the_same(self, task, ship):
        class Broken(Exception):
            @property
            def __notes__(self):
                raise KeyError("payload")

        def run(context):
            raise Broken("no answer")

        task(run)

        error = ship().metadata["error"]
        assert (error["type"], error["message"]) == ("Broken", "no answer")
        assert 'raise Broken("no answer")' in error["traceback"]

    def test_a_module_that_leaves_while_it_is_imported_fails_the_instance(
        self, ship, tmp_path, monkeypatch
    ):
        (tmp_path / "leaving.py").write_text("import sys; sys.exit('no environment')")
        monkeypatch.syspath_prepend(tmp_path)

        error = ship(run="leaving.task").metadata["error"]
        assert (error["type"], error["message"]) == ("SystemExit", "no environment")

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt_is_recorded_and_goes_on(self, interrupt, manager, task, ship):
        def run(context):
            raise interrupt("stop")

        task(run)

        with pytest.raises(interrupt):
            ship()

        assert manager.instance("t_ship#0").metadata["error"]["type"] == interrupt.__name__
        assert states(manager) == {"t_ship#0": "failed"}

    @pytest.mark.parametrize(
        ("target", "type_", "message"),
        [
            ("no.such.module", "TaskNotFound", "cannot be imported (No module named 'no')"),
            ("triggers_core.no_such_task", "TaskNotFound", "has no attribute 'no_such_task'"),
            ("nodots", "TaskNotFound", "expected the dotted name of a task"),
            ("triggers_core.Status", "ConfigurationError", "not a TriggerTask"),
            ("json.dumps", "ConfigurationError", "decorate it with @trigger_task"),
            ("sys.path", "ConfigurationError", "is a list, not a TriggerTask"),
        ],
    )
    def test_a_target_that_leads_to_no_task_fails_the_instance(self, target, type_, message, ship):
        error = ship(run=target).metadata["error"]

        assert error["type"] == type_
        assert f"run target {target!r}" in error["message"]
        assert message in error["message"]

    def test_a_failure_is_logged_by_whose_it_is(self, task, ship, caplog):
        task(fail)

        error = ship().metadata["error"]

        (record,) = (record for record in caplog.records if record.levelname == "ERROR")
        assert record.message == (
            f"session 's': t_ship#0, attempt 1, failed: {error['type']}: {error['message']}; "
            "the instance's metadata has the traceback"
        )

    def test_what_was_logged_before_the_failure_is_kept(self, task, ship):
        def run(context):
            context.logger.warning("low on stock")
            fail(context)

        task(run)

        assert ship().metadata["logs"] == [{"level": "WARNING", "message": "low on stock"}]


def _breaks(*arguments, **more):
    return 1 / 0
