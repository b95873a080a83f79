"""The commands that mend and configure sessions, as an operator types them."""

import json
import re
import shlex
import sys

import pytest
from typer.testing import CliRunner

from triggers_core import Plugins, Status, TriggerManager, hookimpl, trigger_task
from triggers_core.cli import commands
from triggers_core.errors import DamagedStore

from .looks import rows

pytestmark = pytest.mark.parametrize("storage", ["memory"], indirect=True)

PERMIT = {
    "t_close": {"after": ["applied", "fee_paid"], "run": "close"},
    "t_remind": {"after": ["applied", "evening"], "run": "close"},
    "t_archive": {"after": ["t_close"], "run": "close"},
}
WITHOUT_REMINDER = {name: PERMIT[name] for name in ("t_close", "t_archive")}


@trigger_task
def close(context):
    return {}


@trigger_task
def break_down(context):
    raise RuntimeError("the register is down")


@pytest.fixture
def make_case(make_manager, tasks, runner):
    """Return a function (uid, triggers to fire) → a session whose tasks have done their work."""
    tasks["close"] = close

    def make(uid, *firings, configuration=PERMIT):
        case = make_manager(uid)
        case.update_configuration(configuration)
        for trigger_name in firings:
            case.fire(trigger_name)
        runner.work()
        return case

    return make


@pytest.fixture
def waiting(make_case):
    """Give a session in which t_close#0 and t_remind#0 wait."""
    return make_case("case 891", "applied")


@pytest.fixture
def failed(make_case, tasks):
    """Give a session in which t_close#0 has failed."""
    case = make_case("case 892", "applied")
    tasks["close"] = break_down
    case.fire("fee_paid")
    case.plugins.runner("held").work()
    tasks["close"] = close
    return case


@pytest.fixture
def file(tmp_path):
    """Return a function (configuration) → the path of a JSON file with it."""

    def write(configuration):
        (tmp_path / "permits.json").write_text(json.dumps(configuration))
        return str(tmp_path / "permits.json")

    return write


def notes(output):
    header, *found = rows(output)
    return {row[0]: row[header.index("note")] for row in found}


class TestAbandon:
    def test_it_gives_up_what_waits(self, waiting, triggers):
        done = triggers("abandon", "case 891", "t_close#0", "--reason", "applied twice")

        assert (done.exit_code, done.stdout) == (0, "t_close#0 is abandoned\n")
        assert waiting.instance("t_close#0").status is Status.ABANDONED
        assert waiting.instance("t_close#0").metadata["reason"] == "applied twice"

    def test_it_needs_a_reason(self, waiting, triggers):
        assert triggers("abandon", "case 891", "t_close#0").exit_code == 2
        refused = triggers("abandon", "case 891", "t_close#0", "--reason", "two\nlines")

        assert refused.exit_code == 1
        assert "t_close#0, reason: 'two\\nlines' holds a character" in refused.stderr
        assert waiting.instance("t_close#0").status is Status.UNSTARTED

    def test_what_has_begun_is_refused(self, failed, triggers):
        refused = triggers("abandon", "case 892", "t_close#0", "--reason", "closed")

        assert refused.exit_code == 1
        assert "is failed; only an unstarted or scheduled one can be abandoned" in refused.stderr

    def test_why_says_what_to_type(self, waiting, triggers):
        told = triggers("why", "case 891", "t_close").stdout

        advice = re.search("to give it up: triggers (.*)", told)[1]
        assert triggers(*shlex.split(advice)).exit_code == 0
        told = triggers("why", "case 891", "t_close").stdout
        assert re.search("t_close#0 was abandoned by hand at 20.* UTC", told)
        assert "reason: …" in told
        assert "it was abandoned without a cascade: what waits for it needs triggers fire" in told

    def test_why_says_so_of_what_is_scheduled_too(self, waiting, triggers):
        waiting.fire("fee_paid")

        told = triggers("why", "case 891", "t_close#0").stdout

        assert "to give it up: triggers abandon 'case 891' 't_close#0' --reason '…'" in told

    def test_whoever_asks_about_what_comes_later_wants_to_go_on(self, waiting, triggers):
        assert "abandon" not in triggers("why", "case 891", "t_archive").stdout


class TestRemark:
    @pytest.mark.parametrize("verb", ["replay", "skip", "resolve"])
    def test_is_kept_and_shown(self, verb, failed, triggers):
        said = ("--reason", "known [outage]", "--by", "Ada")
        done = triggers(verb, "case 892", "t_close#0", *said)

        assert done.exit_code == 0, done.output
        metadata = failed.instance("t_close#0").metadata
        assert (metadata["reason"], metadata["by"]) == ("known [outage]", "Ada")
        shown = notes(triggers("show", "case 892").stdout)["t_close#0"]
        assert shown == "by Ada: known [outage]; RuntimeError: the register is down"
        assert "── by Ada: known [outage]\n" in triggers("why", "case 892", "t_close#0").stdout

    def test_half_of_it_is_shown_too(self, failed, make_case, triggers):
        failed.skip_failed_instance("t_close#0", by="Ada")
        waiting = make_case("case 893", "applied")
        waiting.abandon_instance("t_close#0", reason="closed")

        assert notes(triggers("show", "case 892").stdout)["t_close#0"].startswith("by Ada; Runtime")
        assert notes(triggers("show", "case 893").stdout)["t_close#0"] == "reason: closed"

    def test_who_it_is_may_be_said_for_all_commands(self, failed, triggers):
        triggers("skip", "case 892", "t_close#0", TRIGGERS_BY="Ada")

        assert failed.instance("t_close#0").metadata["by"] == "Ada"

    def test_resolve_says_what_it_did(self, failed, triggers):
        assert triggers("resolve", "case 892", "t_close#0").stdout == "t_close#0 is resolved\n"
        assert failed.unresolved_instances() == []


class TestReconfigure:
    def test_it_takes_what_waits_over(self, waiting, triggers):
        waiting.update_configuration({"t_close": {"after": ["applied", "sent"], "run": "close"}})

        done = triggers("reconfigure", "case 891", "t_close#0")

        assert done.stdout == "t_close#0 is unstarted, and waits for sent\n"
        assert waiting.instance("t_close#0").waits_for == {"sent"}

    def test_what_becomes_ready_by_it_is_started(self, waiting, triggers, runner):
        waiting.update_configuration({"t_close": {"after": ["applied"], "run": "close"}})

        assert triggers("reconfigure", "case 891", "t_close#0").stdout == "t_close#0 is scheduled\n"
        assert runner.names == ["t_close#0"]

    def test_why_says_when_to_and_what_to_type(self, waiting, triggers):
        assert "reconfigure" not in triggers("why", "case 891", "t_archive").stdout
        waiting.update_configuration({"t_close": {"after": ["applied", "sent"], "run": "close"}})

        told = triggers("why", "case 891", "t_archive").stdout

        assert "its task is configured otherwise by now, and it goes on as it was made" in told
        advice = re.search("to take it over: triggers (.*)", told)[1]
        assert triggers(*shlex.split(advice)).exit_code == 0
        assert "waits for 'sent'" in triggers("why", "case 891", "t_archive").stdout

    def test_why_knows_a_task_that_was_taken_out(self, waiting, triggers):
        waiting.update_configuration({}, retire=["t_remind"])

        told = triggers("why", "case 891", "t_remind").stdout

        assert "waits for 'evening', which has not fired" in told
        assert "its task was taken out of the configuration; it goes on as it was made" in told
        assert "to give it up: triggers abandon 'case 891' 't_remind#0'" in told


class TestConfigure:
    def test_a_preview_says_for_each_session_what_would_be_done(
        self, waiting, make_case, file, triggers, storage, stored
    ):
        make_case("case 900")
        before = stored(storage)

        told = triggers("configure", file(WITHOUT_REMINDER), "--all-open", "--replace", "--dry-run")

        assert told.exit_code == 0
        assert rows(told.stdout) == [
            ["session", "retired", "kept"],
            ["case 891", "t_remind", "t_remind#0"],
            ["case 900", "t_remind", ""],
        ]
        assert told.stdout.endswith("2 sessions would be changed, 0 as they should be\n")
        assert stored(storage) == before

    def test_it_does_so_and_the_second_time_nothing(self, waiting, file, triggers):
        said = ("--abandon-retired", "--reason", "nobody reads them", "--by", "release 42")
        command = ("configure", file(WITHOUT_REMINDER), "--all-open", "--replace", *said)

        first, second = triggers(*command), triggers(*command)

        assert rows(first.stdout)[1] == ["case 891", "t_remind", "t_remind#0"]
        assert second.stdout == "0 sessions changed, 1 as they should be\n"
        assert list(waiting.configuration()) == ["t_close", "t_archive"]
        metadata = waiting.instance("t_remind#0").metadata
        assert (metadata["reason"], metadata["by"]) == ("nobody reads them", "release 42")

    def test_what_waits_can_be_taken_over_with_it(self, waiting, file, triggers, runner):
        mended = {**PERMIT, "t_close": {"after": ["applied"], "run": "close"}}

        done = triggers("configure", file(mended), "--session", "case 891", "--update-instances")

        assert rows(done.stdout)[1] == ["case 891", "t_close", "t_close#0", "t_close#0"]
        assert rows(done.stdout)[0] == ["session", "replaced", "updated", "scheduled"]
        assert runner.names == ["t_close#0"]

    def test_tasks_are_retired_by_name_without_a_file(self, waiting, triggers):
        done = triggers("configure", "--all-open", "--retire", "t_remind")

        assert done.exit_code == 0
        assert "t_remind" not in waiting.configuration()

    def test_a_configuration_of_a_module_is_taken(self, waiting, triggers, tmp_path, monkeypatch):
        (tmp_path / "steps_of_test_cli_mending.py").write_text(f"STEPS = {WITHOUT_REMINDER!r}\n")
        monkeypatch.syspath_prepend(tmp_path)
        try:
            done = triggers(
                "configure", "steps_of_test_cli_mending:STEPS", "--all-open", "--replace"
            )
        finally:
            sys.modules.pop("steps_of_test_cli_mending", None)

        assert done.exit_code == 0, done.output
        assert "t_remind" not in waiting.configuration()

    def test_json_has_everything(self, waiting, triggers):
        told = triggers("configure", "--all-open", "--retire", "t_close", "--dry-run", "--json")

        assert json.loads(told.stdout) == [
            {
                "session": "case 891",
                "added": [],
                "replaced": [],
                "retired": ["t_close"],
                "updated": [],
                "scheduled": [],
                "abandoned": [],
                "kept": ["t_close#0"],
                "stranded": ["t_archive"],
            }
        ]

    def test_what_awaits_a_task_that_is_taken_out_is_warned_of(self, waiting, make_case, triggers):
        make_case("case 900")

        told = triggers("configure", "--all-open", "--retire", "t_close", "--dry-run")

        assert (
            "warning: task 't_archive' awaits the end of a task that is taken out, in 2 sessions"
            in told.stderr
        )

    def test_a_task_that_no_session_has_is_warned_of(self, waiting, triggers):
        told = triggers("configure", "--session", "case 891", "--retire", "t_remnid")

        assert told.exit_code == 0
        assert "warning: none of these sessions had the task 't_remnid'" in told.stderr

    def test_an_error_with_one_session_keeps_no_other_back(
        self, waiting, make_case, triggers, storage, monkeypatch
    ):
        make_case("case 900")
        read = storage.read

        def read_or_fail(session_uid):
            if session_uid == "case 891":
                raise DamagedStore("its row is damaged")
            return read(session_uid)

        monkeypatch.setattr(storage, "read", read_or_fail)
        done = triggers("configure", "--all-open", "--retire", "t_remind")

        assert done.exit_code == 1
        assert "error: session 'case 891': its row is damaged" in done.stderr
        assert rows(done.stdout)[1][0] == "case 900"

    def test_a_manager_class_that_is_not_known_here_is_told(self, waiting, storage):
        elsewhere = Plugins(load_entry_points=False)
        elsewhere.managers.add(TriggerManager)
        elsewhere.add_storage(storage)
        command = ["configure", "--all-open", "--retire", "t_remind"]

        done = CliRunner().invoke(commands.build(elsewhere), command)

        assert done.exit_code == 1
        assert "--import the application's module that adds it" in done.stderr

    def test_what_is_recorded_but_not_sent_exits_with_3(self, waiting, file, triggers, plugins):
        class Broken:
            @hookimpl
            def triggers_run(self):
                raise ConnectionError("no broker")

        plugins.register(Broken())
        mended = {"t_close": {"after": ["applied"], "run": "close"}}

        done = triggers("configure", file(mended), "--all-open", "--update-instances")

        assert done.exit_code == 3
        assert "no broker" in done.stderr
        assert waiting.instance("t_close#0").status is Status.SCHEDULED

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            ([], 2, "name a --session, or say --all-open: one of the two"),
            (["--all-open", "--session", "case 891"], 2, "one of the two"),
            (["--session", "case 891", "--match", "*"], 2, "--match chooses of --all-open"),
            (["nosuch.json", "--all-open"], 2, "'nosuch.json' is no file, and no module:NAME"),
            (["no.such.module:X", "--all-open"], 2, "ModuleNotFoundError"),
            (["json:NAME", "--all-open"], 2, "AttributeError"),
            (["json:dumps", "--all-open"], 1, "a configuration must be a mapping"),
            (["--session", "nosuch", "--retire", "t_remind"], 1, "no session 'nosuch'"),
            (["--session", "case 891", "--retire", "x", "--reason", "y"], 1, "abandon_retired"),
        ],
    )
    def test_a_wrong_call_changes_nothing(
        self, arguments, code, message, waiting, triggers, storage, stored
    ):
        before = stored(storage)

        refused = triggers("configure", *arguments)

        assert refused.exit_code == code
        assert message in re.sub(r"[│\s]+", " ", refused.stderr)
        assert stored(storage) == before

    def test_a_configuration_that_is_wrong_changes_nothing(
        self, waiting, file, triggers, storage, stored
    ):
        before = stored(storage)

        refused = triggers("configure", file({"t_close": {"after": "applied"}}), "--all-open")

        assert refused.exit_code == 1
        assert "task 't_close'" in refused.stderr
        assert stored(storage) == before


class TestAllOpen:
    """Which sessions ``--all-open`` takes."""

    @pytest.fixture
    def chosen(self, triggers):
        def chosen(*arguments):
            told = triggers("configure", *arguments, "--all-open", "--dry-run", "--json")
            assert told.exit_code == 0, told.output
            return [each["session"] for each in json.loads(told.stdout)]

        return chosen

    def test_those_in_which_something_may_still_happen(self, make_case, tasks, runner, chosen):
        make_case("not begun")
        make_case("waits", "applied")
        make_case("over", "applied", "fee_paid", "evening")
        every = {"t_close": {"after": ["applied"], "andEvery": "applied", "run": "close"}}
        make_case("further ones may come", "applied", configuration=every)
        one = {"t_close": {"after": ["applied"], "run": "close"}}
        make_case("scheduled", configuration=one).fire("applied")
        runner.held.clear()
        tasks["close"] = break_down
        for uid in ("failed", "resolved"):
            case = make_case(uid, configuration=one)
            tasks["close"] = break_down
            case.fire("applied")
            runner.work()
        case.mark_instance_logs_resolved("t_close#0")

        assert chosen("--retire", "t_close") == [
            "not begun",
            "waits",
            "further ones may come",
            "scheduled",
            "failed",
        ]

    def test_of_those_the_ones_that_have_a_task_of_that_name(self, make_case, file, chosen):
        make_case("permit 1")
        make_case("order 1", configuration={"t_ship": {"after": ["paid"], "run": "close"}})

        assert chosen(file(WITHOUT_REMINDER)) == ["permit 1"]
        assert chosen("--retire", "t_ship") == ["order 1"]

    def test_or_those_whose_uid_is_like_that(self, make_case, file, chosen):
        for uid in ("permit 1", "permit 2", "order 1"):
            make_case(uid)
        survey = {"t_survey": {"after": ["t_close"], "run": "close"}}

        assert chosen(file(survey), "--match", "permit *") == ["permit 1", "permit 2"]

    def test_where_there_is_none_it_is_said(self, make_case, file, triggers):
        make_case("permit 1")
        survey = {"t_survey": {"after": ["t_close"], "run": "close"}}

        told = triggers("configure", file(survey), "--all-open")

        assert told.exit_code == 0
        assert "no open session has a task of those named here; --match chooses" in told.stderr
