"""The trigger that a failure fires: rules 9 and 10 of docs/concepts.md."""

import logging

import pytest

from triggers_core import (
    ConfigurationError,
    FireOutcome,
    Status,
    cancel,
    hookimpl,
    trigger_task,
)
from triggers_core.insight.diagnosis import explain
from triggers_core.insight.graph import graph_of, to_dot, to_mermaid
from triggers_core.insight.lint import lint
from triggers_core.insight.viewing import facts_of
from triggers_core.recovery import recover_once
from triggers_core.rules.config import Configuration

QUOTE = {"after": ["asked"], "run": "shop.quote", "onFailure": "quote_failed"}
TELL = {"andEvery": "quote_failed", "run": "shop.tell"}
STEPS = {"quote": QUOTE, "tell": TELL}


@trigger_task
def works(context):
    return {"euros": 40}


@trigger_task
def breaks(context):
    raise LookupError("no such part: ☃")


class Observer:
    def __init__(self):
        self.seen = []

    @hookimpl
    def triggers_fired(self, trigger_name, trigger_kwargs, outcome):
        self.seen.append((trigger_name, trigger_kwargs, outcome))

    @hookimpl
    def triggers_status_changed(self, task_instance, old_status):
        self.seen.append((task_instance.name, task_instance.status))


@pytest.fixture
def case(manager, tasks):
    tasks.update({"shop.quote": breaks, "shop.tell": works})
    manager.update_configuration(STEPS)
    return manager


def states(manager):
    return {instance.name: instance.status.value for instance in manager.instances()}


def told(manager, name="tell#0"):
    return manager.instance(name).trigger_kwargs["quote_failed"]


def texts(finding):
    return [finding.text, *(text for each in finding.because for text in texts(each))]


class TestFires:
    def test_with_who_failed_at_which_try_and_of_what(self, case, runner):
        case.fire("asked")
        runner.work()
        assert states(case) == {"quote#0": "failed", "tell#0": "finished"}
        assert told(case) == {
            "instance": "quote#0",
            "attempt": 1,
            "type": "LookupError",
            "message": "no such part: ☃",
        }

    def test_in_the_transaction_that_records_the_failure(self, case, runner, plugins):
        observer = Observer()
        plugins.register(observer)
        case.fire("asked")
        observer.seen.clear()
        runner.work_once()
        outcome = FireOutcome("quote_failed", created=("tell#0",), scheduled=("tell#0",))
        assert observer.seen[1:] == [
            ("quote_failed", told(case), outcome),
            ("quote#0", Status.FAILED),
            ("tell#0", Status.SCHEDULED),
        ]
        assert runner.names == ["tell#0"]

    def test_nothing_is_recorded_of_either_if_the_store_refuses(
        self, case, runner, tasks, storage, stored, monkeypatch
    ):
        before = []

        def refuse(self, *arguments, **more):
            raise OSError("no room")

        def act(context):
            before.append(stored(storage))
            with storage.transaction("aside", "tested") as unit:
                monkeypatch.setattr(type(unit), "remember_trigger", refuse)
                raise LookupError

        tasks["shop.quote"] = trigger_task(act)
        case.fire("asked")
        with pytest.raises(OSError, match="no room"):
            runner.work_once()
        assert stored(storage) == before[0]

    def test_when_no_retry_is_left_and_not_before(self, case, runner, tasks):
        @trigger_task(max_retries=2)
        def retries(context):
            try:
                raise LookupError("busy")
            except LookupError:
                context.retry()

        tasks["shop.quote"] = retries
        case.fire("asked")
        for attempt in (1, 2):
            assert runner.work_once().attempt == attempt
            assert "tell#0" not in states(case)
        runner.work()
        assert (told(case)["instance"], told(case)["attempt"], told(case)["type"]) == (
            "quote#2",
            3,
            "MaxRetriesExceeded",
        )

    def test_when_the_worker_is_lost_and_there_is_no_rerun(self, case, runner, tasks, storage):
        def die(context):
            storage.advance(120)
            assert recover_once(storage, plugins=case.plugins).failed == [("s", "quote#0")]

        tasks["shop.quote"] = trigger_task(on_worker_lost="fail")(die)
        case.fire("asked")
        assert runner.work_once() is None
        assert told(case)["type"] == "WorkerLost"
        runner.work()
        assert states(case) == {"quote#0": "failed", "tell#0": "finished"}

    def test_when_an_attempt_is_ended_from_outside(self, case):
        case.fire("asked")
        cancel(case, case.instance("quote#0"), TimeoutError("revoked"))
        assert (told(case)["type"], told(case)["message"]) == ("TimeoutError", "revoked")

    def test_when_a_result_is_refused(self, case, runner, tasks):
        tasks["shop.quote"] = trigger_task(lambda _: {"at": object()})
        case.fire("asked")
        runner.work()
        assert told(case)["type"] == "InvalidKwargs"

    def test_when_there_is_no_such_task(self, case, runner, tasks):
        del tasks["shop.quote"]
        case.fire("asked")
        runner.work()
        assert told(case)["type"] == "TaskNotFound"

    def test_not_when_it_finishes_is_skipped_or_is_abandoned(self, case, runner, tasks):
        tasks["shop.quote"] = trigger_task(lambda context: context.skip())
        case.update_configuration({"other": {**QUOTE, "run": "shop.tell"}, "third": QUOTE})
        case.fire("asked")
        case.abandon_instance("third#0", reason="no")
        runner.work()
        assert states(case) == {"other#0": "finished", "quote#0": "skipped", "third#0": "abandoned"}

    def test_once_more_when_its_replay_fails_too(self, case, runner):
        case.fire("asked")
        runner.work()
        case.replay_failed_instance("quote#0")
        runner.work()
        assert told(case, "tell#1")["instance"] == "quote#1"

    def test_by_the_directives_that_the_instance_lives_by(self, case, runner):
        case.fire("asked")
        case.update_configuration({"quote": {**QUOTE, "onFailure": "no_quote"}})
        runner.work()
        assert "tell#0" in states(case)

    def test_it_is_recorded_though_nobody_awaits_it(self, case, runner):
        case.update_configuration({}, retire=["tell"])
        case.fire("asked")
        runner.work()
        assert states(case) == {"quote#0": "failed"}
        with case.storage.read("s") as reader:
            assert reader.latest_kwargs(["quote_failed"])["quote_failed"]["instance"] == "quote#0"

    def test_in_a_closed_session_it_starts_nothing(self, case, runner, tasks):
        def end(context):
            case.cancel()
            raise LookupError

        tasks["shop.quote"] = trigger_task(end)
        case.fire("asked")
        runner.work()
        assert states(case) == {"quote#0": "failed"}

    def test_a_failure_is_recorded_though_its_trigger_is_refused(self, case, runner, caplog):
        case.update_configuration(
            {
                "count": {
                    "after": [
                        {"each": "part", "times": {"from": "quote_failed", "key": "message"}}
                    ],
                    "run": "shop.tell",
                }
            }
        )
        case.fire("asked")
        with caplog.at_level(logging.ERROR, "triggers_core"):
            runner.work()
        assert states(case) == {"quote#0": "failed"}
        assert "quote#0 failed, and nothing followed" in caplog.text

    def test_a_task_without_it_fires_nothing(self, case, runner, plugins):
        case.update_configuration({"quote": {"after": ["asked"], "run": "shop.quote"}})
        case.fire("asked")
        observer = Observer()
        plugins.register(observer)
        runner.work()
        assert [each[1] for each in observer.seen] == [Status.RUNNING, Status.FAILED]
        assert "followed" not in case.instance("quote#0").metadata


class TestReplay:
    """What the failure started goes on, and that is said."""

    def test_it_is_possible_as_before_and_its_failure_says_what_followed(self, case, runner, tasks):
        case.fire("asked")
        runner.work()
        assert case.instance("quote#0").metadata["followed"] == {
            "trigger": "quote_failed",
            "took": ["tell#0"],
        }
        tasks["shop.quote"] = works
        case.replay_failed_instance("quote#0")
        runner.work()
        assert states(case) == {"quote#0": "replayed", "quote#1": "finished", "tell#0": "finished"}
        assert case.instance("quote#0").metadata["followed"]["took"] == ["tell#0"]

    def test_why_says_it_before_and_after(self, case, runner):
        case.fire("asked")
        runner.work()
        said = "when it failed, quote_failed was fired, which tell#0 took; tell#0 is finished"
        assert said in texts(explain("quote#0", facts_of(case)))
        case.replay_failed_instance("quote#0")
        assert said in texts(explain("quote#0", facts_of(case)))

    def test_the_command_says_it(self, case, runner, triggers, storage):
        case.fire("asked")
        runner.work()
        replayed = triggers("replay", "s", "quote#0")
        assert replayed.stdout.splitlines() == [
            "quote#0 is replayed as quote#1",
            "when it failed, quote_failed was fired, which tell#0 took: that stands",
        ]


class TestDirective:
    @pytest.mark.parametrize("value", [["a"], "", " a", 7, {"a": 1}, "x" * 300])
    def test_what_is_no_name_is_refused(self, manager, value):
        with pytest.raises(ConfigurationError, match="task 'quote', directive 'onFailure'"):
            manager.update_configuration({"quote": {**QUOTE, "onFailure": value}})
        assert manager.configuration() == {}

    def test_the_task_itself_is_refused(self, manager):
        with pytest.raises(ConfigurationError, match="another name"):
            manager.update_configuration({"quote": {**QUOTE, "onFailure": "quote"}})

    def test_none_is_as_left_out(self):
        parsed = Configuration.parse({"quote": {**QUOTE, "onFailure": None}})
        assert parsed["quote"].on_failure is None
        assert "onFailure" not in parsed["quote"].to_directives()

    def test_it_is_written_as_it_was_read(self):
        parsed = Configuration.parse(STEPS)
        assert Configuration.from_json(parsed.to_json()) == parsed
        assert parsed["quote"].to_directives()["onFailure"] == "quote_failed"

    @pytest.mark.parametrize("written", ["on_failure", "onfailure", "onFailures"])
    def test_a_misspelt_one_is_an_error_with_the_advice(self, manager, written):
        with pytest.raises(ConfigurationError, match="did you mean 'onFailure'"):
            manager.update_configuration({"quote": {"after": ["a"], "run": "x", written: "b"}})


class TestInsight:
    def test_why_tells_a_waiting_task_of_the_task_whose_failure_it_awaits(self, case):
        said = texts(explain("tell", facts_of(case)))
        assert "waits for 'quote_failed', which is fired when quote fails for good" in said
        assert any(text.startswith("quote has not begun") for text in said)

    def test_the_graph_draws_it(self):
        configuration = Configuration.parse(STEPS)
        edges = [(edge.source, edge.task, edge.kind) for edge in graph_of(configuration).edges]
        assert ("quote", "quote_failed", "onFailure") in edges
        assert ("quote_failed", "tell", "andEvery") in edges
        assert "n1 -.->|fails| n2" in to_mermaid(configuration)
        assert 'n1 -> n2 [style=dashed, label="fails"];' in to_dot(configuration)

    def test_one_that_nobody_awaits_is_drawn_too(self):
        graph = graph_of(Configuration.parse({"quote": QUOTE}), fired=["quote_failed"])
        assert [(node.name, node.has_fired) for node in graph.nodes] == [
            ("asked", False),
            ("quote", False),
            ("quote_failed", True),
        ]

    def test_lint_has_nothing_against_it(self):
        assert lint(Configuration.parse(STEPS)) == []

    def test_lint_knows_a_trigger_that_a_failure_fires_from_a_misspelt_task(self):
        steps = {
            "quotes": {**QUOTE, "onFailure": "qoutes"},
            "tell": {"after": ["qoutes"], "run": "shop.tell"},
        }
        assert lint(Configuration.parse(steps)) == []

    def test_lint_finds_one_that_is_misspelt(self):
        steps = {"quote": QUOTE, "tell": {"after": ["quote_faild"], "run": "shop.tell"}}
        (warning,) = lint(Configuration.parse(steps))
        assert "'quote_failed'" in warning
        assert "did you mean 'quote_faild'?" in warning

    def test_lint_finds_a_cycle_of_failures(self):
        steps = {"quote": {**QUOTE, "after": [], "andEvery": "tell"}, "tell": TELL}
        (warning,) = lint(Configuration.parse(steps))
        assert warning.startswith("cascade cycle: quote → tell → quote; ")
        assert "or fail" in warning

    def test_a_task_that_awaits_a_failure_is_stranded_without_the_last_task_that_may_fail_so(
        self, case
    ):
        case.update_configuration({"other": {**QUOTE, "run": "shop.tell"}})
        assert case.update_configuration({}, retire=["quote"]).stranded == ()
        assert case.update_configuration({}, retire=["other"]).stranded == ("tell",)

    def test_lint_does_not_call_a_task_unreachable_that_a_failure_starts(self):
        steps = {
            "quote": {**QUOTE, "onFailure": "second"},
            "second": {"after": ["third"], "run": "shop.tell"},
            "third": {"after": ["second"], "run": "shop.tell"},
        }
        assert not any("can never start" in each for each in lint(Configuration.parse(steps)))
