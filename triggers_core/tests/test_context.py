"""What a task finds in its context: rules X2 and C5."""

import logging
from decimal import Decimal

import pytest

from triggers_core import Status, optional, trigger_task

from .looks import states
from .shop import SHIP, fail


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
