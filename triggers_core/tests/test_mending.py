"""What a person gives up, and what is kept of why: rules 5 and 6 of docs/concepts.md."""

import logging
import threading

import pytest

from triggers_core import (
    InstanceNotFound,
    InvalidKwargs,
    InvalidTransition,
    Status,
    execute,
    hookimpl,
    trigger_task,
)
from triggers_core.recovery import recover_once

from .looks import states

DEADLINE_SECONDS = 30.0
SHIP = {"after": ["paid", "packed"], "run": "shop.ship"}
BILL = {"after": ["t_ship"], "run": "shop.bill"}


@trigger_task
def works(context):
    return {}


@trigger_task
def breaks(context):
    raise RuntimeError("out of stock")


@trigger_task(cooldown=3600)
def retries(context):
    context.retry()


class Observer:
    def __init__(self):
        self.seen = []

    @hookimpl
    def triggers_status_changed(self, task_instance, old_status):
        self.seen.append((task_instance.name, old_status, task_instance.status))

    @hookimpl
    def triggers_settled(self):
        self.seen.append("settled")


@pytest.fixture
def order(manager, tasks):
    tasks["shop.ship"] = tasks["shop.bill"] = works
    manager.update_configuration({"t_ship": SHIP, "t_bill": BILL})
    return manager


@pytest.fixture
def failed(order, runner, tasks):
    """Give a session whose instance t_ship#0 has failed."""
    tasks["shop.ship"] = breaks
    order.fire_many([("paid",), ("packed",)])
    runner.work()
    return order


def said_of(instance):
    """Return why, and by whom, the instance was mended, as it is kept."""
    return {key: instance.metadata[key] for key in ("reason", "by") if key in instance.metadata}


class TestAbandon:
    """Rule 5: an instance that has not begun to run is given up by hand, in one transaction."""

    def test_one_that_waits_takes_nothing_more(self, order, runner):
        order.fire("paid")

        ended = order.abandon_instance("t_ship#0", reason="the shop has closed", by="Ada")

        assert ended == order.instance("t_ship#0")
        assert (ended.status, ended.waits_for) == (Status.ABANDONED, frozenset())
        assert said_of(ended) == {"reason": "the shop has closed", "by": "Ada"}
        assert ended.trigger_kwargs == {"paid": {}}
        assert order.fire("packed").taken == ()
        assert (states(order), runner.names) == ({"t_ship#0": "abandoned"}, [])

    def test_nothing_follows_from_it(self, order, runner):
        order.fire("paid")

        order.abandon_instance(order.instance("t_ship#0"), reason="closed")
        order.fire_many([("paid",), ("packed",)])

        assert states(order) == {"t_ship#0": "abandoned"}

    def test_a_message_that_arrives_for_it_is_dropped(self, order, runner, tasks, caplog):
        runs = []
        tasks["shop.ship"] = trigger_task(runs.append)
        order.fire_many([("paid",), ("packed",)])
        order.abandon_instance("t_ship#0", reason="closed")
        before = order.instances()

        with caplog.at_level(logging.INFO, "triggers_core"):
            assert runner.work_once() is None

        assert (runs, order.instances()) == ([], before)
        assert "dropped a message for t_ship#0, attempt 1: it is abandoned" in caplog.text

    def test_a_retry_that_cools_down_is_not_made(self, order, runner, tasks, storage):
        tasks["shop.ship"] = retries
        order.fire_many([("paid",), ("packed",)])
        runner.work_once()

        order.abandon_instance("t_ship#1", reason="closed")
        storage.advance(3600)

        assert runner.work_once() is None
        assert states(order) == {"t_ship#0": "replayed", "t_ship#1": "abandoned"}

    def test_recovery_sends_it_no_more(self, order, runner, storage):
        order.fire_many([("paid",), ("packed",)])
        order.abandon_instance("t_ship#0", reason="closed")
        runner.held.clear()
        storage.advance(10 * order.dispatch_timeout)

        assert recover_once(storage, plugins=order.plugins).count == 0
        assert runner.names == []

    def test_a_recovery_pass_under_way_sends_it_no_more(self, order, runner, storage):
        order.fire_many([("paid",), ("packed",)])
        storage.advance(order.dispatch_timeout + 1)
        take_lost = storage.take_lost

        def take_and_abandon(**arguments):
            lost = take_lost(**arguments)
            order.abandon_instance("t_ship#0", reason="closed")
            return lost

        storage.take_lost = take_and_abandon
        runner.held.clear()

        assert recover_once(storage, plugins=order.plugins).count == 0
        assert (states(order), runner.names) == ({"t_ship#0": "abandoned"}, [])

    @pytest.mark.parametrize(
        "status", ["running", "finished", "failed", "abandoned", "replayed", "skipped"]
    )
    def test_of_any_other_status_it_is_refused(self, status, order, runner, tasks, storage, stored):
        refused = []

        @trigger_task
        def give_up_oneself(context):
            with pytest.raises(InvalidTransition) as caught:
                context.manager.abandon_instance(context.instance, reason="closed")
            refused.append(caught)

        if status == "running":
            tasks["shop.ship"] = give_up_oneself
        elif status in {"failed", "replayed", "skipped"}:
            tasks["shop.ship"] = breaks
        order.fire("paid")
        if status == "abandoned":
            order.abandon_instance("t_ship#0", reason="closed")
        else:
            order.fire("packed")
            runner.work_once()
        if status == "replayed":
            order.replay_failed_instance("t_ship#0")
        if status == "skipped":
            order.skip_failed_instance("t_ship#0")
        if status != "running":
            before = stored(storage)
            with pytest.raises(InvalidTransition) as caught:
                order.abandon_instance("t_ship#0", reason="again")
            refused.append(caught)
            assert stored(storage) == before

        (caught,) = refused
        assert str(caught.value) == (
            f"instance t_ship#0 is {status}; only an unstarted or scheduled one can be abandoned"
        )

    def test_of_a_claim_and_an_abandonment_at_once_one_happens(self, make_manager, runner, tasks):
        """Whoever comes second finds it so: as often as it is tried, in either order."""
        runs = []
        tasks["shop.ship"] = trigger_task(lambda context: runs.append(context.instance.name))
        abandoned = []
        for number in range(20):
            manager = make_manager(f"s{number}")
            manager.update_configuration({"t_ship": {**SHIP, "after": ["paid"]}})
            manager.fire("paid")
            message = runner.held.popleft()
            start = threading.Barrier(2)

            def give_up(manager=manager, start=start):
                start.wait(DEADLINE_SECONDS)
                try:
                    manager.abandon_instance("t_ship#0", reason="closed")
                except InvalidTransition:
                    return
                abandoned.append(manager.session_uid)

            def work(message=message, start=start):
                start.wait(DEADLINE_SECONDS)
                execute(*message, resolve=runner.resolve)

            both = [threading.Thread(target=each) for each in (give_up, work)]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join(DEADLINE_SECONDS)
                assert not thread.is_alive()
            found = manager.instance("t_ship#0").status
            was_given_up = manager.session_uid in abandoned
            assert found is (Status.ABANDONED if was_given_up else Status.FINISHED)

        assert len(runs) + len(abandoned) == 20

    def test_observers_hear_of_it_and_that_the_session_has_settled(self, order, plugins):
        order.fire_many([("paid",), ("packed",)])
        plugins.register(observer := Observer())

        order.abandon_instance("t_ship#0", reason="closed")

        assert observer.seen == [
            ("t_ship#0", Status.SCHEDULED, Status.ABANDONED),
            "settled",
        ]

    def test_a_session_in_which_another_instance_is_active_has_not_settled(self, order, plugins):
        order.update_configuration({"t_other": {"after": ["paid"], "run": "shop.bill"}})
        order.fire_many([("paid",), ("packed",)])
        plugins.register(observer := Observer())

        order.abandon_instance("t_ship#0", reason="closed")

        assert observer.seen == [("t_ship#0", Status.SCHEDULED, Status.ABANDONED)]

    def test_one_that_there_is_not(self, order, make_manager):
        with pytest.raises(InstanceNotFound, match="no instance 't_ship#0'"):
            order.abandon_instance("t_ship#0", reason="closed")
        order.fire("paid")
        with pytest.raises(InstanceNotFound, match="is of session 's'"):
            make_manager("other").abandon_instance(order.instance("t_ship#0"), reason="closed")


class TestRemark:
    """Rule 6: why, and who it was, is kept with the instance."""

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ({}, {}),
            ({"reason": "paid by hand"}, {"reason": "paid by hand"}),
            ({"by": "Ada"}, {"by": "Ada"}),
            (
                {"reason": "bezahlt – 漢", "by": "Ada Ó"},
                {"reason": "bezahlt – 漢", "by": "Ada Ó"},
            ),
        ],
    )
    @pytest.mark.parametrize("verb", ["replay", "skip", "skip and cascade", "resolve"])
    def test_is_kept_as_it_was_given(self, verb, given, kept, failed):
        before = failed.instance("t_ship#0").metadata

        mend(failed, verb, **given)

        after = failed.instance("t_ship#0").metadata
        assert said_of(failed.instance("t_ship#0")) == kept
        assert (after["error"], after["times"]) == (before["error"], before["times"])

    def test_of_a_replay_is_the_replayed_ones_and_not_the_clones(self, failed):
        clone = failed.replay_failed_instance("t_ship#0", reason="restocked", by="Ada")

        assert said_of(failed.instance("t_ship#0")) == {"reason": "restocked", "by": "Ada"}
        assert said_of(clone) == {}

    def test_the_last_one_stands_whole(self, failed):
        failed.mark_instance_logs_resolved("t_ship#0", reason="known", by="Ada")

        failed.skip_failed_instance("t_ship#0", reason="no more needed")

        assert said_of(failed.instance("t_ship#0")) == {"reason": "no more needed"}

    def test_of_what_is_resolved_the_first_one_stands(self, failed, storage, stored):
        failed.mark_instance_logs_resolved("t_ship#0", reason="known", by="Ada")
        before = stored(storage)

        failed.mark_instance_logs_resolved("t_ship#0", reason="still known", by="Bo")

        assert stored(storage) == before

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"reason": 7}, ", reason: expected a few words, as a str, not 7"),
            ({"by": b"Ada"}, ", by: expected a few words, as a str, not b'Ada'"),
            ({"reason": ""}, ", reason: expected a few words, as a str, not ''"),
            ({"by": " "}, ", by: expected a few words, as a str, not ' '"),
            ({"reason": "x" * 1001}, ", reason: has 1001 characters; use at most 1000"),
            ({"by": "x" * 1001}, ", by: has 1001 characters; use at most 1000"),
            ({"reason": "two\nlines"}, r", reason: 'two\nlines' holds a character that cannot be"),
            ({"by": "\x1b[2JAda"}, r", by: '\x1b[2JAda' holds a character that cannot be printed"),
            ({"reason": "nul\0"}, r", reason: 'nul\x00' holds a character"),
            ({"by": "\ud800"}, r", by: '\ud800' holds a character"),
            ({"reason": "\u202egnp.exe"}, r", reason: '\u202egnp.exe' holds a character"),
        ],
    )
    @pytest.mark.parametrize("verb", ["replay", "skip", "resolve", "abandon", "configure"])
    def test_one_that_cannot_be_kept_changes_nothing(
        self, verb, wrong, message, failed, storage, stored
    ):
        failed.fire("t_ship")
        before = stored(storage)

        with pytest.raises(InvalidKwargs) as caught:
            mend(failed, verb, **wrong)

        assert message in str(caught.value)
        assert isinstance(caught.value, ValueError)
        assert stored(storage) == before

    def test_an_abandonment_has_a_reason(self, order):
        order.fire("paid")

        with pytest.raises(TypeError, match="reason"):
            order.abandon_instance("t_ship#0")
        with pytest.raises(
            InvalidKwargs, match="t_ship#0, reason: expected a few words, as a str, not None"
        ):
            order.abandon_instance("t_ship#0", reason=None, by="Ada")

        assert states(order) == {"t_ship#0": "unstarted"}


def mend(manager, verb, **remark):
    """Do to the failed instance, or to the one that waits, what the verb says."""
    if verb == "replay":
        manager.replay_failed_instance("t_ship#0", **remark)
    elif verb == "skip":
        manager.skip_failed_instance("t_ship#0", **remark)
    elif verb == "skip and cascade":
        manager.skip_failed_instance("t_ship#0", cascade=True, **remark)
    elif verb == "resolve":
        manager.mark_instance_logs_resolved("t_ship#0", **remark)
    elif verb == "abandon":
        manager.abandon_instance("t_bill#0", **{"reason": "closed", **remark})
    else:
        manager.update_configuration({}, replace=True, abandon_retired=True, **remark)
