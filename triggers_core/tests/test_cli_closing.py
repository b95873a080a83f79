"""The commands that end a session, and what the others make of one that has ended."""

import json

import pytest

from triggers_core import Status, trigger_task

pytestmark = pytest.mark.parametrize("storage", ["memory"], indirect=True)

DAY_SECONDS = 86_400
PERMIT = {
    "close": {"after": ["applied", "paid"], "run": "works"},
    "remind": {"after": ["applied", "evening"], "run": "works"},
    "archive": {"after": ["close"], "run": "works"},
}


@trigger_task
def works(context):
    return {}


@trigger_task
def breaks(context):
    raise RuntimeError("the register is down")


@pytest.fixture
def make_case(make_manager, tasks, runner):
    tasks["works"] = works

    def make(uid, *firings):
        case = make_manager(uid)
        case.update_configuration(PERMIT)
        for trigger_name in firings:
            case.fire(trigger_name)
        return case

    return make


@pytest.fixture
def case(make_case):
    """Give a session in which close#0 is scheduled and remind#0 waits."""
    return make_case("case 891", "applied", "paid")


def lines(result):
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


class TestCancel:
    def test_it_says_what_is_given_up_and_what_still_runs(self, case, runner, tasks, triggers):
        said = []

        def cancel(context):
            said.extend(lines(triggers("cancel", "case 891", "--reason", "withdrawn", "--by=Ada")))

        tasks["works"] = trigger_task(cancel)
        runner.work_once()
        assert said == [
            "case 891 is cancelled by Ada: withdrawn",
            "abandoned: remind#0",
            "still running: close#0",
        ]
        closing = case.closing()
        assert (closing.how, closing.reason, closing.by) == ("cancelled", "withdrawn", "Ada")

    def test_who_it_is_may_stand_in_the_environment(self, case, triggers):
        triggers("cancel", "case 891", TRIGGERS_BY="deploy 42")
        assert case.closing().by == "deploy 42"

    def test_once_more_it_says_what_was_done_before(self, case, triggers):
        triggers("cancel", "case 891", "--by", "Ada")
        assert lines(triggers("cancel", "case 891", "--by", "Bo")) == [
            "case 891 was before cancelled by Ada"
        ]

    def test_for_programs_it_is_json(self, case, triggers):
        told = json.loads(triggers("cancel", "case 891", "--reason", "r", "--json").stdout)
        closing = case.closing()
        assert told == {
            "closing": {"how": "cancelled", "at": closing.at, "reason": "r", "by": None},
            "abandoned": ["close#0", "remind#0"],
            "running": [],
            "is_change": True,
        }

    def test_a_session_that_is_not_there_is_an_error(self, case, triggers):
        done = triggers("cancel", "case 892")
        assert (done.exit_code, case.closing()) == (1, None)
        assert "no session 'case 892'" in done.output

    def test_a_reason_that_cannot_be_kept_is_an_error(self, case, triggers):
        done = triggers("cancel", "case 891", "--reason", "two\nlines")
        assert (done.exit_code, case.closing()) == (1, None)


class TestClose:
    def test_it_is_refused_while_something_is_under_way(self, case, triggers):
        done = triggers("close", "case 891")
        assert (done.exit_code, case.closing()) == (1, None)
        assert "close#0 is scheduled" in done.output

    def test_what_waits_is_given_up(self, case, runner, triggers):
        runner.work()
        assert lines(triggers("close", "case 891", "--by", "Ada")) == [
            "case 891 is closed by Ada",
            "abandoned: remind#0",
        ]

    def test_for_programs_it_is_json(self, case, runner, triggers):
        runner.work()
        told = json.loads(triggers("close", "case 891", "--json").stdout)
        assert (told["closing"]["how"], told["abandoned"]) == ("closed", ["remind#0"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["fire", "case 891", "evening"],
        ["replay", "case 891", "close#0"],
        ["skip", "case 891", "close#0"],
        ["abandon", "case 891", "remind#0", "--reason", "no"],
        ["reconfigure", "case 891", "remind#0"],
        ["configure", "--session", "case 891", "--retire", "remind"],
    ],
)
def test_what_is_refused_says_why(case, triggers, arguments):
    case.cancel(reason="withdrawn", by="Ada")
    done = triggers(*arguments)
    assert done.exit_code == 1
    assert "session 'case 891' was cancelled by Ada: withdrawn." in done.output


class TestShown:
    def test_show_and_sessions_say_it(self, case, triggers):
        case.cancel(reason="[b]withdrawn", by="Ada")
        title = lines(triggers("show", "case 891"))[0]
        assert title.startswith("session case 891, cancelled at 20")
        assert title.rstrip().endswith("UTC (0 s ago), by Ada: [b]withdrawn")
        assert "2 abandoned (cancelled by Ada: [b]withdrawn)" in triggers("sessions").stdout
        (listed,) = json.loads(triggers("sessions", "--json").stdout)
        assert listed["closing"] == {
            "how": "cancelled",
            "at": case.closing().at,
            "reason": "[b]withdrawn",
            "by": "Ada",
        }
        assert json.loads(triggers("show", "case 891", "--open", "--json").stdout) == []

    def test_what_goes_on_is_not_said_to_be_over(self, case, triggers):
        assert lines(triggers("show", "case 891"))[0].strip() == "session case 891"

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("remind", "remind#0 was abandoned with the session at"),
            ("close#0", "close#0 was abandoned with the session at"),
            ("archive", "archive had not begun when the session was closed"),
        ],
    )
    def test_why_says_it(self, case, triggers, name, said):
        case.cancel(reason="withdrawn", by="Ada")
        told = triggers("why", "case 891", name).stdout
        assert said in told
        assert "the session was cancelled at 20" in told
        assert "by Ada: withdrawn; nothing in it begins" in told
        assert "triggers " not in told

    def test_why_advises_nothing_that_would_be_refused(self, case, runner, tasks, triggers):
        tasks["works"] = breaks
        runner.work()
        case.close()
        told = triggers("why", "case 891", "close#0").stdout
        assert "close#0 failed at" in told
        assert "triggers " not in told

    def test_why_says_what_becomes_of_what_runs(self, case, runner, tasks, storage, triggers):
        told = []

        def look(context):
            case.cancel()
            told.append(triggers("why", "case 891", "close#0").stdout)
            storage.advance(120)
            told.append(triggers("why", "case 891", "close#0").stdout)

        tasks["works"] = trigger_task(look)
        runner.work_once()
        assert "it may end as it likes: context.is_cancelled() tells it" in told[0]
        assert "recovery records it as failed, without a rerun" in told[1]


class TestConfigure:
    def test_of_all_open_sessions_it_is_none(self, case, make_case, triggers):
        other = make_case("case 892")
        case.cancel()
        done = triggers("configure", "--all-open", "--retire", "remind", "--json")
        assert [each["session"] for each in json.loads(done.stdout)] == ["case 892"]
        assert "remind" not in other.configuration()
        assert "remind" in case.configuration()


class TestGc:
    def test_one_that_is_closed_goes_whatever_has_failed_in_it(
        self, case, make_case, runner, tasks, storage, triggers
    ):
        tasks["works"] = breaks
        runner.work()
        kept = make_case("goes on", "applied", "paid")
        runner.work()
        make_case("early").cancel()
        case.close()
        storage.advance(9 * DAY_SECONDS)
        assert lines(triggers("gc", "--days", "10")) == ["0 sessions deleted"]
        assert kept.instance("close#0").status is Status.FAILED
        storage.advance(2 * DAY_SECONDS)
        assert lines(triggers("gc", "--days", "10", "--dry-run")) == [
            "case 891",
            "early",
            "2 sessions would be deleted",
        ]
        assert lines(triggers("gc", "--days", "10")) == ["2 sessions deleted"]
        assert [uid for uid, _ in storage.sessions()] == ["goes on"]

    def test_what_still_runs_keeps_it(self, case, runner, tasks, storage, triggers):
        told = []

        def collect(context):
            case.cancel()
            storage.advance(11 * DAY_SECONDS)
            told.extend(lines(triggers("gc", "--days", "10")))

        tasks["works"] = trigger_task(collect)
        runner.work_once()
        assert told == ["0 sessions deleted"]
        assert lines(triggers("gc", "--days", "10")) == ["0 sessions deleted"]
        storage.advance(11 * DAY_SECONDS)
        assert lines(triggers("gc", "--days", "10")) == ["1 session deleted"]
