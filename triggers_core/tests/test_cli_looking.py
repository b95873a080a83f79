"""The commands that look at sessions, as an operator types them."""

import json
import re

from triggers_core.cli import looking, terminal

from .conftest import in_memory
from .looks import rows
from .permit import close


class TestShow:
    pytestmark = in_memory

    def test_it_says_status_what_each_waits_for_since_when_and_attempt(
        self, case, triggers, storage
    ):
        case.fire("applied")
        storage.advance(90)

        shown = triggers("show", "s")

        assert shown.exit_code == 0
        header, row = rows(shown.stdout)
        assert header == ["instance", "status", "waits for", "since (UTC)", "attempt", "note"]
        assert row[:3] == ["t_close#0", "unstarted", "fee_paid; unless withdrawn"]
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \(1.5 min\)", row[3])
        assert row[4:] == ["1", ""]
        assert "not begun: t_archive" in shown.stdout

    def test_it_says_what_a_failed_one_failed_of(self, failed, triggers):
        shown = triggers("show", "s")

        assert rows(shown.stdout)[1][-1] == "RuntimeError: the register is down [503]"

    def test_it_says_how_long_each_was_queued_and_ran(self, case, runner, storage, triggers):
        case.fire("applied")
        case.fire("fee_paid")
        storage.advance(90)

        queued = rows(triggers("show", "s").stdout)[1]
        runner.work()
        storage.advance(3600)
        ran = rows(triggers("show", "s").stdout)[1]

        assert queued[4:6] == ["1.5 min", ""]
        assert ran[4] == "1.5 min"
        assert re.fullmatch(r"\d\.\d\d s", ran[5])

    def test_open_leaves_out_what_is_over(self, case, runner, triggers):
        case.update_configuration({"t_wait": {"after": ["applied", "never"], "run": "close"}})
        case.fire("applied")
        case.fire("withdrawn")

        shown = triggers("show", "s", "--open", "--json")

        assert [each["name"] for each in json.loads(shown.stdout)] == ["t_wait#0"]
        assert [each.name for each in case.open_instances()] == ["t_wait#0"]

    def test_json_has_everything(self, failed, triggers):
        (shown,) = json.loads(triggers("show", "s", "--json").stdout)

        assert shown["name"] == "t_close#0"
        assert shown["status"] == "failed"
        assert shown["waits_for"] == []
        assert shown["trigger_kwargs"] == {"applied": {}, "fee_paid": {}}
        assert "Traceback" in shown["metadata"]["error"]["traceback"]
        times = [shown[f"{moment}_at"] for moment in ("created", "scheduled", "started", "ended")]
        assert times == sorted(times)

    def test_a_line_that_goes_to_no_terminal_stays_whole(self, case, triggers):
        case.update_configuration({"t_long": {"after": ["go", "x" * 200], "run": "close"}})
        case.fire("go")

        assert "x" * 200 in triggers("show", "s").stdout
        assert "x" * 200 not in triggers("show", "s", COLUMNS="100").stdout


class TestSessions:
    pytestmark = in_memory

    def test_it_lists_them_oldest_first_with_counts(self, failed, make_manager, triggers):
        make_manager("later").fire("applied")

        listed = triggers("sessions")

        assert rows(listed.stdout) == [
            ["session", "manager", "instances"],
            ["s", "tested", "1 failed"],
            ["later", "tested", ""],
        ]

    def test_it_finds_those_with_a_failed_instance(self, failed, make_manager, triggers):
        make_manager("later").fire("applied")

        listed = triggers("sessions", "--status", "failed")

        assert [row[0] for row in rows(listed.stdout)[1:]] == ["s"]

    def test_it_says_when_there_are_more(self, make_manager, triggers):
        for name in ("a", "b", "c"):
            make_manager(name).fire("applied")

        listed = triggers("sessions", "--limit", "2")

        assert [row[0] for row in rows(listed.stdout)[1:]] == ["a", "b"]
        assert "the first 2; --limit shows more" in listed.stdout
        assert "--limit shows" not in triggers("sessions", "--limit", "3").stdout


class TestWatch:
    pytestmark = in_memory

    def test_until_it_is_settled(self, case, triggers, runner, tasks):
        case.fire("applied")

        watched = triggers("watch", "s", "--until-settled")

        assert watched.exit_code == 0
        assert rows(watched.stdout)[1][:2] == ["t_close#0", "unstarted"]

    def test_as_json_it_is_a_line_for_each_change(self, case, triggers, runner, tasks, monkeypatch):
        tasks["close"] = tasks["archive"] = close

        def tell_and_work(instances, **how):
            told = listed(instances, **how)
            runner.work()
            return told

        listed = looking._listed
        monkeypatch.setattr(looking, "_listed", tell_and_work)
        case.fire("applied")
        case.fire("fee_paid")

        watched = triggers("watch", "s", "--until-settled", "--interval", "0.1", "--json")

        lines = [json.loads(line) for line in watched.stdout.splitlines()]
        assert [[(each["name"], each["status"]) for each in line] for line in lines] == [
            [("t_close#0", "scheduled")],
            [("t_archive#0", "finished"), ("t_close#0", "finished")],
        ]

    def test_it_looks_again_until_then(self, case, triggers, runner, tasks, monkeypatch):
        tasks["close"] = tasks["archive"] = close
        looks = []

        def look_and_work(manager, instances):
            looks.append([f"{instance.name} {instance.status}" for instance in instances])
            runner.work()
            return terminal.instances_table(manager, instances)

        monkeypatch.setattr(looking, "instances_table", look_and_work)
        case.fire("applied")
        case.fire("fee_paid")

        watched = triggers("watch", "s", "--until-settled", "--interval", "0.1")

        assert looks == [["t_close#0 scheduled"], ["t_archive#0 finished", "t_close#0 finished"]]
        assert [row[:2] for row in rows(watched.stdout)[1:]] == [
            ["t_archive#0", "finished"],
            ["t_close#0", "finished"],
        ]
