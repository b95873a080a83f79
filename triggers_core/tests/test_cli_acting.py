"""The commands that fire into a session, replay and skip, as an operator types them."""

import json

import pytest
from typer.testing import CliRunner

from triggers_core import Plugins, Status, hookimpl, trigger_task
from triggers_core.cli import commands

from .conftest import in_memory


class TestFire:
    pytestmark = in_memory

    @pytest.fixture(autouse=True)
    def imported(self, tasks):
        """Have the application's tasks here, as `--import` does."""
        tasks["close"] = tasks["archive"] = trigger_task(lambda context: {})

    def test_without_the_applications_tasks_nothing_is_recorded(
        self, case, triggers, tasks, storage, stored
    ):
        del tasks["close"]
        before = stored(storage)

        refused = triggers("fire", "s", "fee_paid")
        kept = stored(storage)
        recorded = triggers("fire", "s", "fee_paid", "--anyway")

        assert refused.exit_code == 1
        assert "nothing was recorded: task 't_close' cannot be started from here" in refused.stderr
        assert kept == before
        assert recorded.exit_code == 0
        assert case.instance("t_close#0").trigger_kwargs == {"fee_paid": {}}

    def test_it_fires_and_prints_the_outcome(self, case, triggers):
        fired = triggers("fire", "s", "fee_paid", "--kwargs", '{"euros": 40}')

        assert json.loads(fired.stdout)["created"] == ["t_close#0"]
        assert fired.stderr == ""
        assert case.instance("t_close#0").trigger_kwargs == {"fee_paid": {"euros": 40}}

    def test_an_event_id_fires_once(self, case, triggers):
        first = triggers("fire", "s", "applied", "--event-id", "e1")
        second = triggers("fire", "s", "applied", "--event-id", "e1")

        assert second.stdout == first.stdout
        assert len(case.instances()) == 1

    def test_a_trigger_that_no_task_waits_for_is_told(self, case, triggers):
        fired = triggers("fire", "s", "fee_payed")

        assert fired.exit_code == 0
        assert fired.stderr == (
            "warning: session 's': the trigger 'fee_payed' is recorded, but no task waits for it; "
            "did you mean 'fee_paid'?\n"
        )

    def test_a_session_that_is_not_there_is_not_made(self, case, triggers, storage):
        fired = triggers("fire", "nosuch", "applied")

        assert fired.exit_code == 1
        assert "no session 'nosuch'" in fired.stderr
        assert [uid for uid, _ in storage.sessions()] == ["s"]

    @pytest.mark.parametrize(("kwargs", "code"), [("{", 2), ("[1]", 1), ('{"a": NaN}', 1)])
    def test_kwargs_that_are_none(self, case, triggers, kwargs, code):
        fired = triggers("fire", "s", "applied", "--kwargs", kwargs)

        assert fired.exit_code == code
        assert case.instances() == []

    def test_what_is_recorded_but_not_sent_exits_with_3(self, case, triggers, plugins):
        class Broken:
            @hookimpl
            def triggers_run(self):
                raise ConnectionError("no broker")

        case.fire("applied")
        plugins.register(Broken())

        fired = triggers("fire", "s", "fee_paid")

        assert fired.exit_code == 3
        assert "no broker" in fired.stderr
        assert "do not fire it again" in fired.stderr
        assert case.instance("t_close#0").status is Status.SCHEDULED


class TestReplayAndSkip:
    pytestmark = in_memory

    def test_replay(self, failed, triggers, runner):
        replayed = triggers("replay", "s", "t_close#0", "--kwargs", '{"applied": {"by": "Ada"}}')
        runner.work()

        assert replayed.stdout == "t_close#0 is replayed as t_close#1\n"
        clone = failed.instance("t_close#1")
        assert clone.status is Status.FINISHED
        assert clone.trigger_kwargs["applied"] == {"by": "Ada"}

    def test_skip_without_a_result_stops_there(self, failed, triggers):
        skipped = triggers("skip", "s", "t_close#0")

        assert skipped.stdout == "t_close#0 is skipped\n"
        assert failed.instances("t_archive") == []

    def test_skip_with_a_result_goes_on(self, failed, triggers):
        triggers("skip", "s", "t_close#0", "--result", '{"closed": false}')

        archive = failed.instance("t_archive#0")
        assert archive.trigger_kwargs == {"t_close": {"closed": False}}

    @pytest.mark.parametrize("verb", ["replay", "skip"])
    def test_one_that_did_not_fail(self, case, triggers, verb):
        case.fire("applied")

        refused = triggers(verb, "s", "t_close#0")

        assert refused.exit_code == 1
        assert "only a failed one can be" in refused.stderr

    @pytest.mark.parametrize("verb", ["replay", "skip"])
    def test_a_manager_class_that_is_not_known_here(self, failed, storage, verb):
        plugins = Plugins(load_entry_points=False)
        plugins.add_storage(storage)

        refused = CliRunner().invoke(commands.build(plugins), [verb, "s", "t_close#0"])

        assert refused.exit_code == 1
        assert "--import the application's module that adds it" in refused.stderr
