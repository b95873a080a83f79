"""How a session ends: rules 11 to 14 of docs/concepts.md."""

import logging
import threading

import pytest

from triggers_core import (
    Closing,
    ClosingOutcome,
    EventConflict,
    InvalidKwargs,
    InvalidTransition,
    SessionClosed,
    Status,
    cancel,
    execute,
    hookimpl,
    trigger_task,
)
from triggers_core.recovery import recover_once

DEADLINE_SECONDS = 30.0
ROUNDS = 20
STEPS = {
    "quote": {"after": ["asked"], "run": "shop.quote"},
    "order": {"after": ["quote", "accepted"], "run": "shop.order"},
    "survey": {"andEvery": "visited", "run": "shop.survey"},
}


CHANGES = {
    "fire": lambda manager: manager.fire("visited"),
    "fire what nobody awaits": lambda manager: manager.fire("nosuch"),
    "fire with a new event": lambda manager: manager.fire("visited", event_id="mail-2"),
    "fire many": lambda manager: manager.fire_many(
        [("asked", {"by": "Bo"}, "mail-1"), ("visited",)]
    ),
    "configure": lambda manager: manager.update_configuration(STEPS),
    "retire": lambda manager: manager.update_configuration({}, retire=["survey"]),
    "try": lambda manager: manager.update_configuration({}, retire=["survey"], dry_run=True),
    "take over": lambda manager: manager.update_instance_configuration("order#0"),
    "replay": lambda manager: manager.replay_failed_instance("quote#0"),
    "skip": lambda manager: manager.skip_failed_instance("quote#0", cascade=True),
    "abandon": lambda manager: manager.abandon_instance("order#0", reason="no"),
}


@trigger_task
def works(context):
    return {"euros": 40}


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
    def triggers_fired(self, trigger_name, outcome):
        self.seen.append(("fired", trigger_name, outcome.scheduled, outcome.is_awaited))

    @hookimpl
    def triggers_status_changed(self, task_instance, old_status):
        self.seen.append((task_instance.name, task_instance.status.value))

    @hookimpl
    def triggers_closed(self, manager, closing):
        self.seen.append(("closed", manager.session_uid, closing))

    @hookimpl
    def triggers_settled(self):
        self.seen.append("settled")


@pytest.fixture
def case(manager, tasks):
    """Give a session in which quote#0 is scheduled and order#0 waits."""
    tasks.update(dict.fromkeys(("shop.quote", "shop.order", "shop.survey"), works))
    manager.update_configuration(STEPS)
    manager.fire("asked", {"by": "Bo"}, event_id="mail-1")
    manager.fire("accepted")
    return manager


@pytest.fixture
def observer(case):
    observer = Observer()
    case.plugins.register(observer)
    return observer


@pytest.fixture
def during(case, runner, tasks):
    """Return a function that has quote#0 run, and calls what it is given amid that, with the
    context; it returns the instance as it ended."""

    def run(act, task=works):
        def body(context):
            act(context)
            return task.run(context)

        tasks["shop.quote"] = trigger_task(cooldown=task.cooldown)(body)
        return runner.work_once()

    return run


def states(manager):
    return {instance.name: instance.status.value for instance in manager.instances()}


def remarks(instance):
    return {key: instance.metadata[key] for key in ("reason", "by") if key in instance.metadata}


class TestCancel:
    """Rule 11: in one transaction what has not begun is abandoned, and nothing can begin."""

    def test_what_waits_or_is_scheduled_is_abandoned_with_the_reason(self, case, storage):
        before = storage.now()
        outcome = case.cancel(reason="withdrawn", by="Ada")

        assert outcome == ClosingOutcome(case.closing(), abandoned=("order#0", "quote#0"))
        assert (outcome.closing.how, outcome.closing.reason, outcome.closing.by) == (
            "cancelled",
            "withdrawn",
            "Ada",
        )
        assert before <= outcome.closing.at <= storage.now()
        assert states(case) == {"order#0": "abandoned", "quote#0": "abandoned"}
        for instance in case.instances():
            assert remarks(instance) == {"reason": "withdrawn", "by": "Ada"}
            assert instance.ended_at == outcome.closing.at
        assert case.open_instances() == []

    def test_a_reason_is_not_needed(self, case):
        outcome = case.cancel()
        assert outcome.closing == Closing("cancelled", outcome.closing.at)
        assert remarks(case.instance("quote#0")) == {"reason": "the session was cancelled"}

    @pytest.mark.parametrize("wrong", [{"reason": ""}, {"by": "a\nb"}, {"reason": 7}])
    @pytest.mark.parametrize("how", ["cancel", "close"])
    def test_one_that_is_no_line_of_text_is_refused(self, case, stored, storage, how, wrong):
        before = stored(storage)
        with pytest.raises(InvalidKwargs, match="session 's', (reason|by)"):
            getattr(case, how)(**wrong)
        assert stored(storage) == before

    def test_a_session_can_be_cancelled_before_anything_has_come(self, make_manager):
        early = make_manager("early")
        assert early.cancel(reason="mistake").abandoned == ()
        with pytest.raises(SessionClosed):
            early.update_configuration(STEPS)

    def test_no_other_session_is(self, case, make_manager):
        other = make_manager("other")
        other.update_configuration(STEPS)
        case.cancel()
        assert other.closing() is None
        assert other.fire("asked").scheduled == ("quote#0",)

    def test_a_message_that_arrives_for_what_was_abandoned_is_dropped(self, case, runner, caplog):
        case.cancel()
        with caplog.at_level(logging.INFO, "triggers_core"):
            assert runner.work_once() is None
        assert "dropped a message for quote#0" in caplog.text
        assert states(case)["quote#0"] == "abandoned"

    def test_a_retry_in_its_cooldown_is_abandoned(self, case, runner, tasks, storage):
        tasks["shop.quote"] = retries
        runner.work_once()
        assert case.cancel().abandoned == ("order#0", "quote#1")
        storage.advance(7200)
        assert recover_once(storage, plugins=case.plugins).count == 0

    def test_to_do_it_again_changes_nothing(self, case, storage, stored):
        first = case.cancel(reason="withdrawn", by="Ada")
        before = stored(storage)
        for again in (lambda: case.cancel(reason="other"), lambda: case.close(by="Bo")):
            assert again() == ClosingOutcome(first.closing, is_change=False)
        assert stored(storage) == before

    def test_of_many_at_once_one_does_it(self, case, make_manager):
        start, outcomes = threading.Barrier(4), []

        def end(number):
            start.wait(DEADLINE_SECONDS)
            outcomes.append(make_manager("s").cancel(by=f"clerk {number}"))

        threads = [threading.Thread(target=end, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
        assert sorted(outcome.is_change for outcome in outcomes) == [False, False, False, True]
        assert {outcome.closing for outcome in outcomes} == {case.closing()}

    def test_it_is_told_once_after_what_was_abandoned(self, case, observer):
        closing = case.cancel(by="Ada").closing
        case.cancel(by="Bo")
        assert observer.seen == [
            ("order#0", "abandoned"),
            ("quote#0", "abandoned"),
            ("closed", "s", closing),
            "settled",
        ]

    def test_that_an_exception_undoes_leaves_the_session_open(self, case, storage, stored):
        before = stored(storage)
        with pytest.raises(RuntimeError), storage.transaction("s", "tested") as unit:
            unit.close_session(Closing("cancelled", 1.0))
            raise RuntimeError
        assert stored(storage) == before
        assert case.closing() is None


class TestRefused:
    """Rule 12: what comes later is refused, and changes nothing."""

    @pytest.mark.parametrize("how", ["cancel", "close"])
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_each_says_that_it_is_closed_and_why(
        self, case, runner, tasks, storage, stored, change, how
    ):
        tasks["shop.quote"] = breaks
        runner.work()
        getattr(case, how)(reason="withdrawn", by="Ada")
        before = stored(storage)
        with pytest.raises(SessionClosed, match="session 's' was (cancelled|closed) by Ada: with"):
            change(case)
        assert stored(storage) == before
        assert runner.names == []

    def test_it_is_a_value_error_as_with_a_closed_file(self):
        assert issubclass(SessionClosed, ValueError)

    def test_a_fire_that_was_recorded_before_returns_its_first_outcome(self, case, storage, stored):
        first = case.fire("asked", {"by": "Bo"}, event_id="mail-1")
        case.cancel()
        before = stored(storage)
        assert case.fire("asked", {"by": "Bo"}, event_id="mail-1") == first
        assert case.fire_many([("asked", {"by": "Bo"}, "mail-1")]) == [first]
        with pytest.raises(EventConflict):
            case.fire("visited", event_id="mail-1")
        assert stored(storage) == before

    def test_what_needs_nobody_any_more_can_still_be_marked_so(self, case, runner, tasks):
        tasks["shop.quote"] = breaks
        runner.work()
        case.cancel()
        assert case.mark_instance_logs_resolved("quote#0", by="Ada").is_resolved

    def test_of_a_fire_and_a_cancellation_at_once_both_orders_hold(self, make_manager, tasks):
        tasks["shop.quote"] = works
        for number in range(ROUNDS):
            manager, start, refused = make_manager(f"s{number}"), threading.Barrier(2), []
            manager.update_configuration(STEPS)

            def fire(manager=manager, start=start, refused=refused):
                start.wait(DEADLINE_SECONDS)
                try:
                    manager.fire("asked")
                except SessionClosed as error:
                    refused.append(error)

            thread = threading.Thread(target=fire)
            thread.start()
            start.wait(DEADLINE_SECONDS)
            manager.cancel()
            thread.join(DEADLINE_SECONDS)
            assert states(manager) == ({} if refused else {"quote#0": "abandoned"})


class TestWhatRuns:
    """Rule 13: what runs is not stopped, finds that it is cancelled, and starts nothing."""

    def test_it_finds_that_it_is_cancelled(self, case, during):
        found = []

        def look_on(context):
            found.append(context.is_cancelled())
            outcome = case.cancel()
            assert (outcome.abandoned, outcome.running) == (("order#0",), ("quote#0",))
            found.append(context.is_cancelled())

        during(look_on)
        assert found == [False, True]

    def test_it_finishes_and_its_cascade_is_recorded_and_starts_nothing(
        self, case, during, observer, runner
    ):
        ended = during(lambda context: case.cancel())
        assert (ended.status, ended.metadata["result"]) == (Status.FINISHED, {"euros": 40})
        assert states(case) == {"order#0": "abandoned", "quote#0": "finished"}
        assert observer.seen[-3:] == [
            ("fired", "quote", (), True),
            ("quote#0", "finished"),
            "settled",
        ]
        assert runner.names == []
        with case.storage.read("s") as reader:
            assert reader.latest_kwargs(["quote"]) == {"quote": {"euros": 40}}

    def test_it_fails_as_it_would(self, case, during):
        ended = during(lambda context: case.cancel(), breaks)
        assert (ended.status, ended.metadata["error"]["message"]) == (
            Status.FAILED,
            "out of stock",
        )

    def test_its_skip_cascades_to_nobody(self, case, during):
        def end(context):
            case.cancel()
            context.skip(cascade=True, result={"euros": 0})

        assert during(end).status is Status.SKIPPED
        assert states(case) == {"order#0": "abandoned", "quote#0": "skipped"}

    def test_its_retry_is_recorded_and_not_started(self, case, during, runner, storage):
        ended = during(lambda context: case.cancel(reason="withdrawn"), retries)
        assert ended.status is Status.REPLAYED
        clone = case.instance("quote#1")
        assert (clone.status, clone.parent, remarks(clone)) == (
            Status.ABANDONED,
            "quote#0",
            {"reason": "withdrawn"},
        )
        storage.advance(7200)
        assert (runner.names, recover_once(storage, plugins=case.plugins).count) == ([], 0)

    def test_what_it_fires_itself_is_refused(self, case, during):
        def fire(context):
            case.cancel()
            with pytest.raises(SessionClosed):
                context.manager.fire("visited")

        assert during(fire).status is Status.FINISHED

    def test_one_whose_worker_is_lost_fails_and_is_not_run_again(
        self, case, during, runner, storage
    ):
        def die(context):
            case.cancel()
            storage.advance(120)
            recovered = recover_once(storage, plugins=case.plugins)
            assert recovered.failed == [("s", "quote#0")]

        assert during(die) is None  # it comes back, and its end is not recorded
        lost = case.instance("quote#0")
        assert (lost.status, lost.metadata["error"]["type"]) == (Status.FAILED, "WorkerLost")
        assert "the session was cancelled meanwhile" in lost.metadata["error"]["message"]
        assert runner.names == []

    def test_an_attempt_can_be_ended_from_outside_as_before(self, case, during):
        def end(context):
            case.cancel()
            assert cancel(case, context.instance, TimeoutError("revoked")).status is Status.FAILED

        assert during(end) is None

    def test_of_a_claim_and_a_cancellation_at_once_one_comes_first(self, make_manager, tasks):
        tasks["shop.quote"] = works
        for number in range(ROUNDS):
            manager, start, ended = make_manager(f"s{number}"), threading.Barrier(2), []
            manager.update_configuration(STEPS)
            manager.fire("asked")

            def run(manager=manager, start=start, ended=ended):
                start.wait(DEADLINE_SECONDS)
                ended.append(execute(manager, manager.instance("quote#0")))

            thread = threading.Thread(target=run)
            thread.start()
            start.wait(DEADLINE_SECONDS)
            outcome = manager.cancel()
            thread.join(DEADLINE_SECONDS)
            status = manager.instance("quote#0").status
            assert status is (
                Status.ABANDONED if "quote#0" in outcome.abandoned else Status.FINISHED
            )
            assert (ended[0] is None) == (status is Status.ABANDONED)
            assert manager.open_instances() == []


class TestClose:
    """Rule 14: what is done is closed: as if cancelled, but nothing under way is given up."""

    def test_it_is_refused_while_anything_is_scheduled_or_runs(self, case, during, storage, stored):
        before = stored(storage)
        with pytest.raises(InvalidTransition, match="quote#0 is scheduled; wait for them, or"):
            case.close()
        assert stored(storage) == before

        def close(context):
            with pytest.raises(InvalidTransition, match="quote#0 is running"):
                case.close()

        during(close)

    def test_a_long_list_is_cut(self, case):
        case.fire_many([("visited",)] * 15)
        with pytest.raises(InvalidTransition, match=r"survey#8 is scheduled, and 6 more; wait"):
            case.close()

    def test_what_waits_is_abandoned(self, case, runner):
        case.update_configuration({"remind": {"after": ["quote", "evening"], "run": "shop.order"}})
        runner.work()
        outcome = case.close(reason="delivered", by="Ada")
        assert outcome == ClosingOutcome(
            Closing("closed", outcome.closing.at, "delivered", "Ada"), abandoned=("remind#0",)
        )
        assert states(case) == {
            "order#0": "finished",
            "quote#0": "finished",
            "remind#0": "abandoned",
        }
        assert case.close() == ClosingOutcome(outcome.closing, is_change=False)
        assert case.cancel() == ClosingOutcome(outcome.closing, is_change=False)

    def test_one_that_is_cancelled_is_closed_though_something_runs(self, case, during):
        def close(context):
            first = case.cancel()
            assert case.close() == ClosingOutcome(
                first.closing, running=("quote#0",), is_change=False
            )

        during(close)

    def test_what_has_failed_does_not_keep_it_open(self, case, runner, tasks):
        tasks["shop.quote"] = breaks
        runner.work()
        assert case.close().abandoned == ("order#0",)
        assert states(case) == {"order#0": "abandoned", "quote#0": "failed"}
