"""The worker's side: rules X1 to X5, and C5 as a task sees it."""

import logging
import re
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

import pytest

from triggers_core import (
    ConfigurationError,
    InstanceNotFound,
    InvalidKwargs,
    InvalidTransition,
    Status,
    TaskInterruption,
    TriggerTask,
    cancel,
    execute,
    hookimpl,
    optional,
    trigger_task,
)

SHIP = {"after": ["paid"], "run": "shop.ship"}
BILL = {"after": ["t_ship"], "run": "shop.bill"}


@pytest.fixture
def task(tasks):
    """Return a function that makes a function what ``SHIP`` runs."""

    def make(function, **settings):
        tasks["shop.ship"] = trigger_task(**settings)(function)

    return make


@pytest.fixture
def ship(manager, runner):
    """Return a function that fires ``paid`` and executes ``t_ship#0``; it returns its end."""

    def ship(trigger_kwargs=None, **directives):
        manager.update_configuration({"t_ship": {**SHIP, **directives}, "t_bill": BILL})
        manager.fire("paid", trigger_kwargs)
        return runner.work_once()

    return ship


def fail(context):
    raise RuntimeError("out of stock")


class TestCancel:
    """X1, X5: an attempt that is ended from outside."""

    @pytest.fixture
    def scheduled(self, manager, task):
        task(lambda context: None)
        manager.update_configuration({"t_ship": SHIP, "t_bill": BILL})
        manager.fire("paid")
        return manager.instance("t_ship#0")

    def test_that_is_scheduled_never_runs(self, manager, runner, scheduled):
        ended = cancel(manager, scheduled, RuntimeError("called off"))
        assert ended.metadata["error"]["message"] == "called off"
        assert runner.work_once() is None
        assert states(manager) == {"t_ship#0": "failed"}

    def test_that_runs_has_no_other_end(self, manager, runner, task, scheduled):
        task(lambda context: cancel(manager, context.instance, RuntimeError("called off")) and None)
        assert runner.work_once() is None
        assert states(manager) == {"t_ship#0": "failed"}
        assert "result" not in manager.instance("t_ship#0").metadata

    def test_that_is_over_stays_as_it_was(self, manager, runner, scheduled):
        runner.work_once()
        before = manager.instances()
        assert cancel(manager, scheduled, RuntimeError("called off")) is None
        assert manager.instances() == before

    def test_of_another_attempt_stays_as_it_was(self, manager, scheduled):
        assert cancel(manager, replace(scheduled, attempt=2), RuntimeError("called off")) is None
        assert manager.instance("t_ship#0") == scheduled

    def test_can_be_replayed(self, manager, runner, scheduled):
        cancel(manager, scheduled, RuntimeError("called off"))
        manager.replay_failed_instance("t_ship#0")
        runner.work_once()
        runner.work_once()
        assert states(manager) == {"t_ship#0": "replayed", "t_ship#1": "finished"} | {
            "t_bill#0": "scheduled"
        }


def states(manager):
    return {instance.name: instance.status.value for instance in manager.instances()}


class TestClaim:
    """X1"""

    def test_a_duplicate_message_is_dropped_and_said_so_at_info(
        self, manager, runner, task, caplog
    ):
        runs = []
        task(runs.append)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        (message,) = runner.held
        execute(*message)

        with caplog.at_level(logging.INFO, "triggers_core"):
            again = execute(*message)

        assert (again, len(runs)) == (None, 1)
        (record,) = [record for record in caplog.records if "dropped" in record.message]
        assert record.levelno == logging.INFO
        assert "session 's': dropped a message for t_ship#0, attempt 1" in record.message
        assert "it is finished, attempt 1" in record.message

    def test_while_the_task_runs_a_second_message_is_dropped(self, manager, runner, task):
        runs, second = [], []

        def run(context):
            runs.append(context.instance.name)
            second.append(execute(*message))

        task(run)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        (message,) = runner.held

        assert execute(*message).status is Status.FINISHED
        assert (runs, second) == (["t_ship#0"], [None])

    def test_a_message_of_another_attempt_is_dropped(self, manager, runner, task, caplog):
        runs = []
        task(runs.append)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        ((_, instance),) = runner.held

        with caplog.at_level(logging.INFO, "triggers_core"):
            assert execute(manager, replace(instance, attempt=2)) is None

        assert (runs, states(manager)) == ([], {"t_ship#0": "scheduled"})
        assert "attempt 2: it is scheduled, attempt 1" in caplog.text

    @pytest.mark.parametrize("status", ["unstarted", "abandoned"])
    def test_what_was_never_scheduled_does_not_run(self, status, manager, task, caplog):
        runs = []
        task(runs.append)
        manager.update_configuration({"t_ship": {**SHIP, "unless": ["cancelled", "lost"]}})
        manager.fire("cancelled")
        if status == "abandoned":
            manager.fire("lost")

        with caplog.at_level(logging.INFO, "triggers_core"):
            assert execute(manager, manager.instance("t_ship#0")) is None

        assert (runs, states(manager)) == ([], {"t_ship#0": status})
        assert "dropped a message for t_ship#0" in caplog.text

    def test_an_instance_that_there_is_not_is_an_error(self, manager, make_manager, task, runner):
        task(fail)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        ((_, instance),) = runner.held

        with pytest.raises(InstanceNotFound, match="session 'another' has no instance 't_ship#0'"):
            execute(make_manager("another"), instance)

    def test_it_runs_as_running(self, manager, task, ship):
        seen = []
        task(lambda context: seen.append(manager.instance("t_ship#0").status))

        ship()

        assert seen == [Status.RUNNING]


class TestContext:
    """X2 and C5"""

    def test_it_has_the_instance_the_attempt_and_a_manager_of_the_session(
        self, manager, task, ship
    ):
        seen = []
        task(seen.append)

        ship()

        (context,) = seen
        assert context.instance.name == "t_ship#0"
        assert context.attempt == 1
        assert context.manager is manager

    def test_a_task_may_fire_with_its_manager(self, manager, task, ship):
        task(lambda context: context.manager.fire("noticed") and None)
        manager.update_configuration({"t_note": {"after": ["noticed"], "run": "shop.note"}})

        ship()

        assert states(manager)["t_note#0"] == "scheduled"

    def test_c5_what_was_fired_is_merged_over_with_params(self, task, ship):
        seen = []
        task(lambda context: seen.append(context.trigger_kwargs))

        ship(
            {"amount": {"value": 3}, "items": [1]},
            withParams={
                "paid": {"amount": {"value": 0, "currency": "EUR"}, "items": [7, 8], "gift": False},
                "carrier": {"name": "post"},
            },
        )

        assert seen == [
            {
                "paid": {
                    "amount": {"value": 3, "currency": "EUR"},
                    "items": [1],
                    "gift": False,
                },
                "carrier": {"name": "post"},
            }
        ]

    def test_c5_what_is_stored_is_what_was_fired(self, manager, task, ship):
        task(lambda context: None)

        ship({"amount": 3}, withParams={"paid": {"currency": "EUR"}})

        assert manager.instance("t_ship#0").trigger_kwargs == {"paid": {"amount": 3}}

    def test_f5_what_a_task_does_to_its_kwargs_is_seen_by_nobody_else(self, manager, runner, tasks):
        seen = []

        @trigger_task
        def greedy(context):
            seen.append([context.trigger_kwargs["paid"]["items"][:], context.trigger_kwargs["x"]])
            context.trigger_kwargs["paid"]["items"].append("mine")
            context.trigger_kwargs["x"]["list"].append("mine")
            context.instance.trigger_kwargs["paid"]["items"].append("mine")

        tasks["shop.ship"] = greedy
        directives = {**SHIP, "withParams": {"x": {"list": []}}}
        manager.update_configuration({"t_a": directives, "t_b": directives})
        manager.fire("paid", {"items": ["theirs"]})
        runner.work()

        assert [items for items, _ in seen] == [["theirs"], ["theirs"]]
        assert seen[0][1] is not seen[1][1]
        assert [instance.trigger_kwargs["paid"] for instance in manager.instances()] == [
            {"items": ["theirs"]},
            {"items": ["theirs"]},
        ]
        assert manager.configuration()["t_a"].with_params == {"x": {"list": []}}

    def test_kwargs_of_what_would_have_abandoned_it_are_none_of_its_business(
        self, manager, task, runner
    ):
        """C4, C5"""
        seen = []
        task(lambda context: seen.append((context.trigger_kwargs, context.taken)))
        manager.update_configuration(
            {
                "t_ship": {
                    "after": ["paid"],
                    "unless": ["recalled", "refunded"],
                    "run": "shop.ship",
                    "withParams": {"refunded": {"by": "default"}},
                }
            }
        )
        manager.fire("recalled", {"secret": 7})
        manager.fire("paid", {"amount": 1})
        runner.work()

        assert seen == [
            (
                {"paid": {"amount": 1}, "refunded": {"by": "default"}},
                frozenset({"paid", "recalled"}),
            )
        ]

    def test_filter_kwargs_returns_what_is_named_converted(self, task, ship):
        seen = []
        filters = {"paid": {"amount": Decimal, "payer": str.upper}}
        task(lambda context: seen.append(context.filter_kwargs(filters)))

        ship({"amount": "1.50", "payer": "ada", "secret": 7}, withParams={"x": {"y": 1}})

        assert seen == [{"paid": {"amount": Decimal("1.50"), "payer": "ADA"}}]

    @pytest.mark.parametrize(
        ("filters", "message"),
        [
            ({"paid": {"payer": str}}, "trigger 'paid': the key 'payer' was not fired"),
            ({"packed": {"crate": int}}, "trigger 'packed': the key 'crate' was not fired"),
            ({"paid": {"amount": int}}, "trigger 'paid', key 'amount': ValueError: invalid lit"),
            ({"paid": {"amount": Decimal}}, "trigger 'paid', key 'amount': InvalidOperation: "),
            ({"paid": {"amount": {}.__getitem__}}, "trigger 'paid', key 'amount': KeyError: "),
        ],
    )
    def test_filter_kwargs_names_the_trigger_and_key_that_do_not_fit(
        self, filters, message, task, ship
    ):
        task(lambda context: context.filter_kwargs(filters))

        error = ship({"amount": "a lot"}).metadata["error"]

        assert error["type"] == "InvalidKwargs"
        assert error["message"].startswith(message)

    def test_an_optional_key_that_was_not_fired_has_its_default(self, task, ship):
        seen = []
        filters = {
            "paid": {"amount": optional(Decimal), "note": optional(str, default="none")},
            "tipped": {"amount": optional(Decimal)},
        }
        task(lambda context: seen.append(context.filter_kwargs(filters)))

        ship({"amount": "1.50"})

        assert seen == [
            {"paid": {"amount": Decimal("1.50"), "note": "none"}, "tipped": {"amount": None}}
        ]

    def test_an_optional_key_that_was_fired_is_checked_all_the_same(self, task, ship):
        task(lambda context: context.filter_kwargs({"paid": {"amount": optional(Decimal)}}))

        error = ship({"amount": "a lot"}).metadata["error"]

        assert error["message"].startswith("trigger 'paid', key 'amount': InvalidOperation: ")

    def test_the_logger_says_whose_line_it_is(self, task, ship, caplog):
        task(lambda context: context.logger.info("packed %d", 3, extra={"crate": 7}))

        with caplog.at_level(logging.INFO, "triggers.task"):
            ship()

        (record,) = [r for r in caplog.records if r.name == "triggers.task.t_ship"]
        assert record.getMessage() == "packed 3"
        assert (record.session_uid, record.instance_name) == ("s", "t_ship#0")
        assert record.crate == 7

    def test_warnings_and_errors_are_kept_with_the_instance(self, task, ship):
        def run(context):
            context.logger.info("not kept")
            context.logger.warning("slow: %(seconds)d s", {"seconds": 9})
            context.logger.error("%s is %d%% full", "depot", 99)
            try:
                fail(context)
            except RuntimeError:
                context.logger.exception("went on")

        task(run)

        assert ship().metadata["logs"] == [
            {"level": "WARNING", "message": "slow: 9 s"},
            {"level": "ERROR", "message": "depot is 99% full"},
            {"level": "ERROR", "message": "went on"},
        ]

    def test_of_many_warnings_the_latest_are_kept(self, task, ship):
        def run(context):
            for number in range(250):
                context.logger.warning("number %d", number)

        task(run)

        logs = ship().metadata["logs"]
        assert [log["message"] for log in logs] == [f"number {n}" for n in range(150, 250)]

    def test_a_line_that_cannot_be_formatted_does_not_fail_the_task(self, task, ship, monkeypatch):
        monkeypatch.setattr(logging.getLogger("triggers.task.t_ship"), "disabled", True)
        task(lambda context: context.logger.warning("%d crates", "many"))

        instance = ship()

        assert instance.status is Status.FINISHED
        (log,) = instance.metadata["logs"]
        assert log["message"] == "'%d crates', which does not fit its arguments"


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

        assert (frames[0], frames[-1]) == ("execute", "triggers_execute")

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


class TestRetry:
    """X4"""

    def test_the_instance_is_replayed_and_a_clone_is_scheduled(self, manager, runner, task, ship):
        task(lambda context: context.retry() if context.attempt == 1 else {"crate": 7})

        instance = ship({"amount": 3})

        clone = manager.instance("t_ship#1")
        assert instance.status is Status.REPLAYED
        assert (clone.status, clone.attempt, clone.parent) == (Status.SCHEDULED, 2, "t_ship#0")
        assert clone.trigger_kwargs == {"paid": {"amount": 3}}
        assert clone.config_digest == instance.config_digest
        assert "t_bill#0" not in states(manager)

        runner.work_once()

        assert states(manager) == {
            "t_ship#0": "replayed",
            "t_ship#1": "finished",
            "t_bill#0": "scheduled",
        }

    @pytest.mark.parametrize(
        ("settings", "asked", "attempts"),
        [
            ({}, {}, 4),
            ({"max_retries": 0}, {}, 1),
            ({"max_retries": 1}, {}, 2),
            ({"max_retries": 1}, {"max_retries": 2}, 3),
            ({"max_retries": 5}, {"max_retries": 0}, 1),
        ],
    )
    def test_after_max_retries_it_fails(self, settings, asked, attempts, manager, runner, task):
        task(lambda context: context.retry(**asked), **settings)
        manager.update_configuration({"t_ship": SHIP, "t_bill": BILL})
        manager.fire("paid")

        runner.work()

        *replayed, last = manager.instances()
        assert [instance.attempt for instance in (*replayed, last)] == [*range(1, attempts + 1)]
        assert {instance.status for instance in replayed} <= {Status.REPLAYED}
        assert last.status is Status.FAILED
        assert last.metadata["error"]["type"] == "MaxRetriesExceeded"
        assert "'t_ship'" in last.metadata["error"]["message"]

    def test_why_it_was_retried_is_kept_even_when_it_was_the_last_time(self, manager, runner, task):
        def run(context):
            try:
                fail(context)
            except RuntimeError:
                context.retry()

        task(run, max_retries=1)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")

        runner.work()

        first, last = manager.instances()
        assert first.metadata["error"]["message"] == "out of stock"
        assert last.metadata["error"]["type"] == "MaxRetriesExceeded"
        assert "RuntimeError: out of stock" in last.metadata["error"]["traceback"]

    @pytest.mark.parametrize(
        ("settings", "asked", "seconds"),
        [
            ({"cooldown": 60}, {}, 60),
            ({"cooldown": 60}, {"cooldown": 5}, 5),
            ({}, {"cooldown": 2.5}, 2.5),
        ],
    )
    def test_the_clone_is_scheduled_not_before_the_cooldown(
        self, settings, asked, seconds, manager, task, ship, storage
    ):
        task(lambda context: context.retry(**asked), **settings)
        earliest = storage.now() + seconds

        ship()

        clone = manager.instance("t_ship#1")
        assert earliest <= clone.not_before <= storage.now() + seconds
        assert clone.recover_at >= clone.not_before + manager.dispatch_timeout

    def test_without_a_cooldown_it_starts_at_once(self, manager, task, ship):
        task(lambda context: context.retry(cooldown=0), cooldown=60)

        ship()

        assert manager.instance("t_ship#1").not_before == 0.0

    def test_a_runner_that_does_not_wait_for_the_cooldown_does_not_shorten_it(
        self, manager, runner, task, ship, storage, monkeypatch
    ):
        started = []

        def run(context):
            started.append(storage.now())
            context.retry()

        slept = []

        def sleep(seconds):
            slept.append(seconds)
            storage.advance(seconds)

        monkeypatch.setattr("triggers_core.worker.execution.time", SimpleNamespace(sleep=sleep))
        task(run, cooldown=3600, max_retries=1)
        ship()

        runner.work()

        assert started[1] >= manager.instance("t_ship#1").not_before
        assert sum(slept) == pytest.approx(3600, abs=60)

    def test_a_cooldown_is_over_in_threads_too(self, make_manager, threads, tasks):
        started = []

        @trigger_task(cooldown=0.05)
        def run(context):
            started.append(context.manager.storage.now())
            if context.attempt == 1:
                context.retry()

        tasks["shop.ship"] = run
        manager = make_manager()
        manager.update_configuration({"t_ship": {**SHIP, "using": "threading"}})
        manager.fire("paid")
        threads.join_all(30)

        assert states(manager) == {"t_ship#0": "replayed", "t_ship#1": "finished"}
        assert started[1] >= manager.instance("t_ship#1").not_before > started[0]

    def test_a_task_that_catches_every_exception_lets_it_through(self, manager, task, ship):
        def run(context):
            try:
                context.retry()
            except Exception:
                return {"caught": True}

        task(run)

        assert issubclass(TaskInterruption, BaseException)
        assert ship().status is Status.REPLAYED

    @pytest.mark.parametrize(
        "wrong",
        [
            {"cooldown": -1},
            {"cooldown": "5"},
            {"cooldown": True},
            {"cooldown": float("inf")},
            {"cooldown": float("nan")},
            {"cooldown": 10**400},
            {"max_retries": -1},
            {"max_retries": 1.5},
            {"max_retries": True},
            {"max_retries": "3"},
            {"max_retries": 10**20},
        ],
        ids=lambda wrong: "{0[0]}={0[1]!r:.9}".format(*wrong.items()),
    )
    def test_a_number_that_is_none_is_refused_where_it_is_written(self, wrong, task, ship):
        ((setting, _),) = wrong.items()

        with pytest.raises(ConfigurationError, match=f"{setting} must be"):
            trigger_task(**wrong)(fail)
        task(lambda context: context.retry(**wrong))
        error = ship().metadata["error"]

        assert error["type"] == "ConfigurationError"
        assert error["message"].startswith(f"{setting} must be")

    def test_the_clone_of_a_clone_names_its_own_parent(self, manager, runner, task):
        task(lambda context: context.retry(), max_retries=2)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")

        runner.work()

        assert [instance.parent for instance in manager.instances()] == [
            None,
            "t_ship#0",
            "t_ship#1",
        ]

    def test_a_clone_is_no_instance_for_another_trigger_to_make(self, manager, task, ship):
        task(lambda context: context.retry())

        ship(andEvery="paid")
        manager.fire("paid")

        assert states(manager) == {
            "t_ship#0": "replayed",
            "t_ship#1": "scheduled",
            "t_ship#2": "scheduled",
        }


class TestSkip:
    """X5"""

    def test_a_task_that_skips_does_not_cascade(self, manager, task, ship):
        task(lambda context: context.skip())

        assert ship().status is Status.SKIPPED
        assert states(manager) == {"t_ship#0": "skipped"}

    def test_a_task_that_skips_may_cascade(self, manager, task, ship):
        task(lambda context: context.skip(cascade=True, result={"crate": None}))

        instance = ship()

        assert instance.metadata["result"] == {"crate": None}
        assert manager.instance("t_bill#0").trigger_kwargs == {"t_ship": {"crate": None}}

    def test_a_task_that_skips_with_no_json_fails(self, manager, task, ship):
        task(lambda context: context.skip(cascade=True, result={"crate": object()}))

        error = ship().metadata["error"]

        assert error["message"].startswith("task 't_ship', skip: crate is object")
        assert states(manager) == {"t_ship#0": "failed"}

    def test_a_result_without_a_cascade_is_refused_and_not_lost(self, manager, task, ship):
        task(lambda context: context.skip(result={"crate": 7}))

        error = ship().metadata["error"]

        assert error["type"] == "InvalidKwargs"
        assert error["message"] == "context.skip: a result needs cascade=True to go anywhere"

    def test_a_task_that_skips_says_why(self, task, ship):
        task(lambda context: context.skip(reason="the crate is empty"))

        assert ship().metadata["reason"] == "the crate is empty"

    @pytest.mark.parametrize("reason", ["", "  ", 7, "x" * 1001])
    def test_a_reason_is_a_few_words(self, task, ship, reason):
        task(lambda context: context.skip(reason=reason))

        error = ship().metadata["error"]

        assert error["type"] == "InvalidKwargs"
        assert error["message"].startswith("context.skip, reason: ")

    def test_a_failed_instance_is_skipped_by_hand(self, manager, task, ship):
        task(fail)
        ship()

        skipped = manager.skip_failed_instance("t_ship#0")

        assert skipped == manager.instance("t_ship#0")
        assert skipped.status is Status.SKIPPED
        assert skipped.metadata["error"]["message"] == "out of stock"
        assert states(manager) == {"t_ship#0": "skipped"}

    def test_a_failed_instance_is_skipped_by_hand_as_if_it_had_finished(self, manager, task, ship):
        task(fail)

        manager.skip_failed_instance(ship(), cascade=True, result={"crate": 7})

        assert manager.instance("t_bill#0").trigger_kwargs == {"t_ship": {"crate": 7}}
        assert states(manager) == {"t_ship#0": "skipped", "t_bill#0": "scheduled"}

    def test_a_result_without_a_cascade_to_go_in_is_refused(self, manager, task, ship):
        task(fail)
        ship()

        with pytest.raises(InvalidKwargs, match="needs cascade=True"):
            manager.skip_failed_instance("t_ship#0", result={"crate": 7})

        assert states(manager) == {"t_ship#0": "failed"}


class TestReplay:
    """X5"""

    def test_a_failed_instance_runs_again_as_its_clone(self, manager, runner, task, ship):
        task(fail)
        failed = ship({"amount": 3})
        task(lambda context: context.trigger_kwargs["paid"])

        clone = manager.replay_failed_instance("t_ship#0")
        runner.work()

        assert (clone.status, clone.attempt) == (Status.SCHEDULED, 1)
        assert (clone.name, clone.parent) == ("t_ship#1", failed.name)
        assert manager.instance("t_ship#1").metadata["result"] == {"amount": 3}
        assert states(manager)["t_ship#0"] == "replayed"
        assert states(manager)["t_ship#1"] == "finished"

    def test_replacements_can_be_merged_over_what_was_fired(self, manager, runner, task, ship):
        task(fail)
        ship({"amount": {"net": 1, "tax": 2}, "items": [1, 2]})

        clone = manager.replay_failed_instance(
            "t_ship#0", {"paid": {"amount": {"net": 9}, "items": [3]}}, merge=True
        )

        assert clone.trigger_kwargs == {"paid": {"amount": {"net": 9, "tax": 2}, "items": [3]}}

    def test_replacements_are_in_place_of_what_was_fired(self, manager, runner, task, ship):
        task(fail)
        ship({"amount": 3, "payer": "ada"})

        replacement = {"paid": {"amount": [4]}}
        clone = manager.replay_failed_instance("t_ship#0", replacement)
        replacement["paid"]["amount"].append(5)

        assert clone.trigger_kwargs == {"paid": {"amount": [4]}}
        assert manager.instance("t_ship#1").trigger_kwargs == {"paid": {"amount": [4]}}
        assert manager.instance("t_ship#0").trigger_kwargs["paid"]["amount"] == 3

    def test_only_what_is_named_is_replaced(self, manager, runner, task):
        task(fail)
        manager.update_configuration({"t_ship": {**SHIP, "after": ["paid", "packed"]}})
        manager.fire("paid", {"amount": 3})
        manager.fire("packed", {"crate": 7})
        runner.work()

        clone = manager.replay_failed_instance("t_ship#0", {"packed": {"crate": 8}})

        assert clone.trigger_kwargs == {"paid": {"amount": 3}, "packed": {"crate": 8}}

    def test_it_runs_by_the_present_configuration(self, manager, runner, tasks, task, ship):
        task(fail)
        ship()
        tasks["shop.mended"] = trigger_task(lambda context: {"mended": True})
        manager.update_configuration({"t_ship": {**SHIP, "run": "shop.mended"}})

        manager.replay_failed_instance("t_ship#0")
        runner.work_once()

        assert manager.instance("t_ship#1").metadata["result"] == {"mended": True}

    def test_a_clone_that_fails_may_be_replayed_again(self, manager, runner, task, ship):
        task(fail)
        ship()
        manager.replay_failed_instance("t_ship#0")
        runner.work()

        assert manager.replay_failed_instance("t_ship#1").parent == "t_ship#1"
        assert states(manager) == {
            "t_ship#0": "replayed",
            "t_ship#1": "replayed",
            "t_ship#2": "scheduled",
        }

    def test_it_has_all_its_retries_again(self, manager, runner, task):
        task(lambda context: context.retry(), max_retries=1)
        manager.update_configuration({"t_ship": SHIP})
        manager.fire("paid")
        runner.work()

        manager.replay_failed_instance("t_ship#1")
        runner.work()

        assert [instance.attempt for instance in manager.instances()] == [1, 2, 1, 2]

    def test_an_instance_is_replayed_once(self, manager, runner, task, ship):
        task(fail)
        failed = ship()
        manager.replay_failed_instance(failed)

        with pytest.raises(InvalidTransition, match="t_ship#0 is replayed; only a failed one"):
            manager.replay_failed_instance(failed)

        assert runner.names == ["t_ship#1"]

    @pytest.mark.parametrize("mend", ["replay_failed_instance", "skip_failed_instance"])
    def test_an_instance_of_another_session_is_not_this_sessions(
        self, mend, manager, make_manager, runner, task, storage, stored
    ):
        task(fail)
        another = make_manager("another")
        for each in (manager, another):
            each.update_configuration({"t_ship": SHIP})
            each.fire("paid")
        runner.work()
        before = stored(storage)

        with pytest.raises(InstanceNotFound, match="t_ship#0 is of session 'another', and this"):
            getattr(manager, mend)(another.instance("t_ship#0"))

        assert stored(storage) == before


class TestLogsResolved:
    """X5"""

    def test_a_failed_instance_is_unresolved_until_it_is_marked(self, manager, task, ship):
        task(fail)
        ship()
        assert [i.name for i in manager.unresolved_instances()] == ["t_ship#0"]

        marked = manager.mark_instance_logs_resolved("t_ship#0")

        assert marked == manager.instance("t_ship#0")
        assert (marked.status, marked.is_resolved) == (Status.FAILED, True)
        assert marked.metadata["error"]["message"] == "out of stock"
        assert manager.unresolved_instances() == []

    def test_one_that_finished_with_a_warning_is_unresolved_too(self, manager, task, ship):
        task(lambda context: context.logger.warning("slow"))
        instance = ship()
        assert [i.name for i in manager.unresolved_instances()] == ["t_ship#0"]

        manager.mark_instance_logs_resolved(instance)

        assert manager.unresolved_instances() == []

    def test_one_that_finished_in_silence_needs_nobody(self, manager, task, ship):
        task(lambda context: context.logger.info("fine"))

        ship()

        assert manager.unresolved_instances() == []

    def test_to_mark_twice_changes_nothing(self, manager, task, ship, storage, stored):
        task(fail)
        ship()
        manager.mark_instance_logs_resolved("t_ship#0")
        before = stored(storage)

        manager.mark_instance_logs_resolved("t_ship#0")

        assert stored(storage) == before

    def test_what_is_marked_may_still_be_replayed(self, manager, task, ship):
        task(fail)
        ship()
        manager.mark_instance_logs_resolved("t_ship#0")

        assert manager.replay_failed_instance("t_ship#0").name == "t_ship#1"


def _breaks(*arguments, **more):
    return 1 / 0
