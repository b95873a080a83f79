"""The command ``triggers``, as an operator types it: in this process, and the installed script."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from triggers_core import (
    DispatchError,
    Plugins,
    SqliteStorage,
    Status,
    TriggerManager,
    hookimpl,
    trigger_task,
)
from triggers_core.cli import commands, looking, terminal

in_memory = pytest.mark.parametrize("storage", ["memory"], indirect=True)

SCRIPT = Path(sys.executable).with_name("triggers")
DEADLINE_SECONDS = 60.0
CONFIGURATION = {
    "t_close": {"after": ["applied", "fee_paid"], "unless": ["withdrawn"], "run": "close"},
    "t_archive": {"after": ["t_close"], "run": "archive"},
}
DAY = 86_400


@trigger_task
def close(context):
    return {"closed": True}


@trigger_task
def break_down(context):
    raise RuntimeError("the register is down [503]")


@pytest.fixture
def case(manager):
    manager.update_configuration(CONFIGURATION)
    return manager


@pytest.fixture
def failed(case, runner, tasks):
    """Give a session whose instance t_close#0 has failed."""
    tasks["close"] = break_down
    case.fire("applied")
    case.fire("fee_paid")
    runner.work()
    tasks["close"] = tasks["archive"] = close
    return case


def rows(output):
    """Return the cells of a printed table, header first."""
    lines = [line for line in output.splitlines() if line[:1] in "┃│"]
    return [[cell.strip() for cell in re.split("[┃│]", line)[1:-1]] for line in lines]


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


class TestGraph:
    pytestmark = in_memory

    def test_of_a_file(self, triggers, tmp_path):
        (tmp_path / "permits.json").write_text(json.dumps(CONFIGURATION))

        drawn = triggers("graph", str(tmp_path / "permits.json"))

        assert drawn.stdout.startswith('flowchart LR\n    n0("applied")\n')

    @pytest.mark.parametrize("form", ["mermaid", "dot", "svg"])
    def test_of_a_session_by_state(self, failed, triggers, form):
        drawn = triggers("graph", "--session", "s", "--format", form)

        assert drawn.exit_code == 0
        assert "1 failed" in drawn.stdout
        assert "#fca5a5" in drawn.stdout

    def test_svg_is_a_picture(self, failed, triggers):
        drawn = triggers("graph", "--session", "s", "--format", "svg").stdout

        assert "<svg " in drawn
        assert drawn.rstrip().endswith("</svg>")

    def test_svg_without_its_extra(self, failed, triggers, monkeypatch, tmp_path):
        monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))

        drawn = triggers("graph", "--session", "s", "--format", "svg", PATH=str(tmp_path))

        assert drawn.exit_code == 1
        assert "pip install 'triggers-core[svg]'" in drawn.stderr

    def test_svg_when_graphviz_breaks(self, failed, triggers, tmp_path):
        (tmp_path / "dot").write_text("#!/bin/sh\necho out of paper >&2\nexit 1\n")
        (tmp_path / "dot").chmod(0o755)

        drawn = triggers("graph", "--session", "s", "--format", "svg", PATH=str(tmp_path))

        assert drawn.exit_code == 1
        assert "out of paper" in drawn.stderr

    @pytest.mark.parametrize("arguments", [[], ["--session", "s", __file__]])
    def test_of_one_thing_at_a_time(self, case, triggers, arguments):
        assert triggers("graph", *arguments).exit_code == 2


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


class TestRecover:
    pytestmark = in_memory

    def test_once_says_what_it_did(self, case, triggers, storage, runner):
        case.fire("applied")
        case.fire("fee_paid")
        runner.held.clear()
        assert triggers("recover", "--once").stdout == "nothing was lost\n"
        storage.advance(case.dispatch_timeout + 1)

        recovered = triggers("recover", "--once")

        assert rows(recovered.stdout)[1:] == [["dispatched", "s", "t_close#0"]]
        assert recovered.exit_code == 0
        assert runner.names == ["t_close#0"]

    def test_what_it_could_not_help_exits_with_1(self, case, triggers, storage, plugins, runner):
        case.fire("applied")
        case.fire("fee_paid")
        storage.advance(case.dispatch_timeout + 1)
        plugins.managers.remove("tested")

        recovered = triggers("recover", "--once")

        assert rows(recovered.stdout)[1:] == [["errors", "s", "t_close#0"]]
        assert recovered.exit_code == 1

    def test_each_is_logged(self, case, triggers, storage, caplog):
        case.fire("applied")
        case.fire("fee_paid")
        storage.advance(case.dispatch_timeout + 1)
        caplog.set_level("INFO", "triggers_core.recovery")

        triggers("recover", "--once")

        assert "session 's': t_close#0 was lost: dispatched" in caplog.messages

    def test_the_storage_of_an_alias(self, case, triggers, plugins, tmp_path):
        other = SqliteStorage(tmp_path / "other.db", alias="ledger")
        plugins.add_storage(other)

        assert triggers("recover", "--once", "--alias", "ledger").exit_code == 0
        refused = triggers("recover", "--once", "--alias", "nosuch")
        assert refused.exit_code == 2
        other.close()


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


def test_what_an_error_quotes_does_not_command_the_terminal(triggers, case, runner, tasks):
    @trigger_task
    def fail_with_escapes(context):
        raise RuntimeError("\x1b[2J\x1b]0;owned\x07 unknown")

    tasks["close"] = tasks["archive"] = fail_with_escapes
    case.fire("applied")
    case.fire("fee_paid")
    runner.work()

    for told in (triggers("why", "s", "t_close"), triggers("show", "s")):
        assert told.exit_code == 0, told.output
        assert "\x1b" not in told.output
        assert "\\x1b[2J" in told.output


class TestGc:
    pytestmark = in_memory

    @pytest.fixture
    def old(self, make_manager, runner, tasks, storage):
        """Give sessions that changed ten days ago last, by what they are."""
        tasks["close"] = tasks["archive"] = close
        names = ("over", "failed", "resolved", "under way", "waiting")
        found = {name: make_manager(name) for name in names}
        for name, manager in found.items():
            manager.update_configuration(CONFIGURATION)
            manager.fire("applied")
            if name == "waiting":
                continue
            tasks["close"] = close if name in ("over", "under way") else break_down
            manager.fire("fee_paid")
            if name != "under way":
                runner.work()
        found["resolved"].mark_instance_logs_resolved("t_close#0")
        storage.advance(10 * DAY)
        return found

    def test_it_deletes_what_is_over_for_longer(self, old, triggers, storage):
        assert triggers("gc", "--days", "11").stdout == "0 sessions deleted\n"
        assert triggers("gc", "--days", "9").stdout == "2 sessions deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["failed", "under way", "waiting"]

    def test_it_deletes_what_waits_where_it_is_told_to(self, old, triggers, storage):
        assert triggers("gc", "--days", "9", "--waiting").stdout == "3 sessions deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["failed", "under way"]

    def test_a_trigger_that_was_fired_lately_keeps_its_session(self, old, triggers, storage):
        old["over"].fire("nobody_waits_for_it")
        old["waiting"].fire("withdrawn_in_part")

        assert triggers("gc", "--days", "9", "--waiting").stdout == "1 session deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["over", "failed", "under way", "waiting"]

    def test_a_session_that_another_deletes_meanwhile_is_not_made_anew(
        self, old, triggers, storage, monkeypatch
    ):
        transaction = storage.transaction

        def delete_first(session_uid, manager_name):
            monkeypatch.undo()
            with transaction(session_uid, manager_name) as unit:
                unit.delete()
            return transaction(session_uid, manager_name)

        monkeypatch.setattr(storage, "transaction", delete_first)

        assert triggers("gc", "--days", "9").stdout == "1 session deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["failed", "under way", "waiting"]

    def test_what_was_fired_and_no_task_took_waits_too(self, make_manager, triggers, storage):
        make_manager("never fired into").update_configuration(CONFIGURATION)
        make_manager("taken by nothing").fire("applied")
        storage.advance(10 * DAY)

        assert triggers("gc", "--days", "9").stdout == "0 sessions deleted\n"
        assert triggers("gc", "--days", "11", "--waiting").stdout == "0 sessions deleted\n"
        assert triggers("gc", "--days", "9", "--waiting").stdout == "1 session deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["never fired into"]

    def test_a_dry_run_only_says_which(self, old, triggers, storage):
        would = triggers("gc", "--days", "9", "--dry-run")

        assert would.stdout == "over\nresolved\n2 sessions would be deleted\n"
        assert len(list(storage.sessions())) == 5

    def test_the_days_are_never_assumed(self, old, triggers):
        assert triggers("gc").exit_code == 2

    def test_a_session_that_changes_meanwhile_is_kept(self, old, triggers, storage, monkeypatch):
        transaction = storage.transaction

        def fire_first(session_uid, manager_name):
            monkeypatch.undo()
            old["over"].fire("applied")
            return transaction(session_uid, manager_name)

        old["over"].update_configuration({"t_new": {"after": ["applied"], "run": "close"}})
        monkeypatch.setattr(storage, "transaction", fire_first)

        triggers("gc", "--days", "9")

        assert [uid for uid, _ in storage.sessions()] == ["over", "failed", "under way", "waiting"]


class TestWhereSessionsAre:
    def test_by_option_by_variable_or_by_the_application(self, tmp_path):
        for name in ("option", "variable"):
            storage = SqliteStorage(tmp_path / f"{name}.db")
            TriggerManager(name, storage=storage, plugins=Plugins()).fire("x")
            storage.close()

        def listed(*arguments, **environment):
            return CliRunner().invoke(commands.build(Plugins()), arguments, env=environment)

        option, variable = (f"sqlite:///{tmp_path}/{name}.db" for name in ("option", "variable"))
        found = listed("sessions", "--storage", option, TRIGGERS_STORAGE=variable)
        assert rows(found.stdout)[1][0] == "option"
        found = listed("sessions", TRIGGERS_STORAGE=variable)
        assert rows(found.stdout)[1][0] == "variable"

    def test_by_nothing(self, monkeypatch):
        monkeypatch.delenv("TRIGGERS_STORAGE", raising=False)

        refused = CliRunner().invoke(
            commands.build(Plugins()), ["sessions"], env={"COLUMNS": "300"}
        )

        assert refused.exit_code == 2
        assert "name one by its URL, as in --storage sqlite:///triggers.db" in refused.stderr

    def test_recover_has_json_for_one_pass_alone(self, tmp_path):
        url = f"sqlite:///{tmp_path}/some.db"
        refused = CliRunner().invoke(
            commands.build(Plugins()),
            ["recover", "--json", "--storage", url],
            env={"COLUMNS": "300"},
        )

        assert refused.exit_code == 2
        assert "it tells of one pass: say --once too" in refused.stderr

    def test_by_a_path_that_is_mistyped(self, tmp_path):
        url = f"sqlite:///{tmp_path}/nosuch.db"

        refused = CliRunner().invoke(commands.build(Plugins()), ["show", "s", "--storage", url])

        assert refused.exit_code == 1
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "command",
        [
            ["sessions"],
            ["show", "s"],
            ["why", "s", "t"],
            ["watch", "s"],
            ["graph", "--session", "s"],
            ["gc", "--days", "1", "--dry-run"],
            ["configure", "--all-open", "--retire", "t", "--dry-run"],
        ],
    )
    def test_a_command_that_only_looks_needs_a_store(self, tmp_path, command):
        url = f"sqlite:///{tmp_path}/nosuch.db"

        refused = CliRunner().invoke(commands.build(Plugins()), [*command, "--storage", url])

        assert refused.exit_code == 1
        assert "there is no such store yet; is it named rightly?" in refused.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("carrier://pigeon", "no storage 'carrier' is registered"),
            ("sqlite:triggers.db", "a SQLite storage's URL is"),
            ("sqlite:////nosuch/folder/triggers.db", "unable to open database file"),
        ],
    )
    def test_by_a_url_that_leads_nowhere(self, url, says):
        for arguments in (["sessions"], ["show", "s"], ["recover", "--once"], ["gc", "--days=1"]):
            refused = CliRunner().invoke(commands.build(Plugins()), [*arguments, "--storage", url])

            assert refused.exit_code == 1
            assert refused.stderr.startswith("error: ")
            assert says in refused.stderr


class TestHelp:
    COMMANDS = sorted(get_command(commands.build(Plugins(load_entry_points=False))).commands)

    def test_it_lists_the_commands_and_the_exit_codes(self):
        shown = CliRunner().invoke(commands.build(Plugins()), ["--help"], env={"COLUMNS": "200"})

        assert all(re.search(rf"│ {name} +\w", shown.stdout) for name in self.COMMANDS)
        assert "Exit codes: 0 done" in shown.stdout

    @pytest.mark.parametrize("name", COMMANDS)
    def test_its_examples_can_be_typed(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("permits.json").touch()
        monkeypatch.syspath_prepend(tmp_path)
        cli = get_command(commands.build(Plugins()))
        shown = CliRunner().invoke(commands.build(Plugins()), [name, "--help"])

        examples = re.findall(r"^ *(?:Example: )?(triggers .*)$", shown.stdout, re.MULTILINE)
        assert examples
        for example in examples:
            arguments = shlex.split(example.partition(" > ")[0])[1:]
            group = cli.make_context("triggers", arguments)
            found, command, rest = cli.resolve_command(group, group._protected_args + group.args)
            assert found == name
            command.make_context(found, rest, parent=group)

    def test_the_version(self):
        shown = CliRunner().invoke(commands.build(Plugins()), ["--version"])

        assert re.fullmatch(r"triggers-core \d+\.\d+\.\d+\n", shown.stdout)


def test_an_error_in_a_plugins_command_is_one_line_too(plugins):
    class Faulty:
        @hookimpl
        def triggers_register_commands(self, cli):
            @cli.command()
            def break_down():
                raise DispatchError("not sent", ["t#0"])

    plugins.register(Faulty())

    broken = CliRunner().invoke(commands.build(plugins), ["break-down"])

    assert (broken.exit_code, broken.stderr) == (3, "error: not sent\n")


SHOP = """
from triggers_core import SqliteStorage, TriggerManager, default_plugins, trigger_task

class ShopManager(TriggerManager):
    name = "shop"
    default_task_runner_name = "threading"

default_plugins().managers.add(ShopManager)
default_plugins().add_storage(SqliteStorage("shop.db"))

@trigger_task
def ship(context):
    print(f"shipped to {context.trigger_kwargs['packed']['to']}")

if __name__ == "__main__":
    order = ShopManager("order 17")
    order.update_configuration({"ship": {"after": ["paid", "packed"], "run": "shop.ship"}})
    order.fire("paid")
"""


TELLING = """
import os, shop
from triggers_core import SqliteStorage

told = os.open("told", os.O_WRONLY)

def telling(method):
    def tell(*arguments, **options):
        os.write(told, b".")
        return method(*arguments, **options)
    return tell

SqliteStorage.take_lost = telling(SqliteStorage.take_lost)
SqliteStorage.now = telling(SqliteStorage.now)
"""
"""Tells that a command has begun: by then it heeds signals."""


class TestScript:
    """The installed script, in a folder with an application that is no distribution."""

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "shop.py").write_text(SHOP)
        subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, check=True)
        return tmp_path

    @pytest.fixture
    def start(self, folder):
        """Return a function that starts the script; what still runs in the end is killed."""
        started = []

        def start(*arguments, **options):
            environment = {
                name: value for name, value in os.environ.items() if name != "TRIGGERS_STORAGE"
            }
            process = subprocess.Popen(
                [SCRIPT, *arguments],
                cwd=folder,
                text=True,
                stdout=options.pop("stdout", subprocess.PIPE),
                stderr=options.pop("stderr", subprocess.PIPE),
                env={**environment, **options},
            )
            started.append(process)
            return process

        yield start
        for process in started:
            process.kill()
            process.communicate()

    def run(self, start, *arguments, **environment):
        process = start(*arguments, **environment)
        stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, stdout, stderr

    def test_with_the_applications_module_it_finds_its_storage_manager_and_tasks(self, start):
        code, stdout, stderr = self.run(
            start,
            *("--import", "shop", "fire", "order 17", "packed", "--kwargs", '{"to": "Delft"}'),
        )

        assert (code, stderr) == (0, "")
        assert "shipped to Delft" in stdout
        code, stdout, _ = self.run(start, "show", "order 17", TRIGGERS_IMPORT="shop")
        assert rows(stdout)[1][:2] == ["ship#0", "finished"]

    def test_without_it_one_can_look(self, start):
        code, stdout, _ = self.run(start, "show", "order 17", TRIGGERS_STORAGE="sqlite:///shop.db")

        assert code == 0
        assert rows(stdout)[1][:2] == ["ship#0", "unstarted"]

    def test_a_module_that_is_not_there(self, start):
        code, _, stderr = self.run(start, "--import", "nosuch", "sessions", COLUMNS="200")

        assert code == 2
        assert "nosuch cannot be imported: ModuleNotFoundError" in stderr

    def test_an_argument_in_no_encoding_is_one_line(self, start):
        code, _, stderr = self.run(start, "why", os.fsdecode(b"case\xff"), "ship")

        assert (code, stderr) == (2, "error: the argument 'case\\udcff' is not UTF-8\n")

    def test_what_a_terminal_has_no_character_for_is_escaped(self, start, folder):
        storage = SqliteStorage(folder / "arrows.db")
        TriggerManager("a → b", storage=storage, plugins=Plugins()).fire("x")
        storage.close()

        code, stdout, stderr = self.run(
            start, "sessions", TRIGGERS_STORAGE="sqlite:///arrows.db", PYTHONIOENCODING="latin-1"
        )

        assert (code, stderr) == (0, "")
        assert "a \\u2192 b" in stdout

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
    @pytest.mark.parametrize("how", [[], ["--json"]])
    def test_output_that_cannot_be_written_is_one_line(self, start, how):
        with open("/dev/full", "w") as full:
            process = start(
                "sessions", *how, stdout=full, TRIGGERS_STORAGE="sqlite:///shop.db", COLUMNS="200"
            )
            _, stderr = process.communicate(timeout=DEADLINE_SECONDS)

        assert (process.returncode, stderr) == (1, "error: [Errno 28] No space left on device\n")

    def test_whoever_has_read_enough_of_the_output_ends_it_quietly(self, start):
        reading, writing = os.pipe()
        os.close(reading)
        process = start("sessions", stdout=writing, TRIGGERS_STORAGE="sqlite:///shop.db")
        os.close(writing)

        assert process.communicate(timeout=DEADLINE_SECONDS)[1] == ""

    @pytest.mark.parametrize("command", [["recover"], ["watch", "order 17"]])
    def test_an_interval_has_an_end(self, start, command):
        code, _, stderr = self.run(
            start, "--import", "shop", *command, "--interval", "inf", COLUMNS="200"
        )

        assert code == 2
        assert "--interval" in stderr

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("command", [["recover"], ["watch", "order 17", "--interval", "0.1"]])
    def test_what_runs_on_ends_well_when_it_is_told_to(self, start, folder, command, number):
        (folder / "telling.py").write_text(TELLING)
        os.mkfifo(folder / "told")
        told = os.open(folder / "told", os.O_RDWR)
        process = start("--import", "telling", *command)
        assert select.select([told], [], [], DEADLINE_SECONDS)[0]

        process.send_signal(number)
        _, stderr = process.communicate(timeout=DEADLINE_SECONDS)

        os.close(told)
        assert (process.returncode, stderr) == (0, "")

    def test_a_terminal_sees_how_far_gc_is(self, start, folder):
        terminal, told_by_script = pty.openpty()
        process = start("--import", "shop", "gc", "--days", "0", "--waiting", stderr=told_by_script)
        os.close(told_by_script)

        assert process.communicate(timeout=DEADLINE_SECONDS)[0] == "1 session deleted\n"
        assert "looking at sessions" in os.read(terminal, 10_000).decode()
        os.close(terminal)

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["wh"], ["why"]),
            (["show", "ord"], ["order 17"]),
            (["why", "'order 17'", ""], ["ship"]),
            (["replay", "'order 17'", "sh"], ["ship#0"]),
            (["show", "nosuch"], []),
        ],
    )
    def test_a_shell_completes(self, start, words, expected):
        code, stdout, stderr = self.run(
            start,
            _TRIGGERS_COMPLETE="complete_bash",
            COMP_WORDS=" ".join(["triggers", *words]),
            COMP_CWORD=str(len(words)),
            TRIGGERS_STORAGE="sqlite:///shop.db",
        )

        assert (code, stderr) == (0, "")
        assert [line for line in stdout.splitlines() if line] == expected


class TestConfigurations:
    """What `check` and `graph` are given, and what `check` is asked to look at."""

    pytestmark = in_memory

    @pytest.fixture
    def shop(self, tmp_path, monkeypatch):
        """Give a module of the application's, with a configuration and a task."""
        (tmp_path / "shop_of_check.py").write_text(
            "from triggers_core import trigger_task\n"
            "@trigger_task\n"
            "def ship(context): ...\n"
            "here = {'after': ['paid'], 'run': 'shop_of_check.ship', 'using': 'held'}\n"
            "STEPS = {'ship': here, 'tell': {**here, 'after': ['ship']}}\n"
            "lost = {**here, 'run': 'shop_of_check.shop'}\n"
            "LOST = {'ship': lost, 'tell': {**here, 'run': 'no.x'}}\n"
            "ODD = {'ship': {**here, 'timeout': 3, 'x-team': 'mail'}}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        yield "shop_of_check"
        sys.modules.pop("shop_of_check", None)

    def test_a_configuration_may_be_a_name_in_a_module(self, shop, triggers):
        checked = triggers("check", f"{shop}:STEPS")
        drawn = triggers("graph", f"{shop}:STEPS")

        assert checked.stdout == "2 tasks, nothing to complain of\n"
        assert '["tell"]' in drawn.stdout

    @pytest.mark.parametrize("command", ["check", "graph"])
    @pytest.mark.parametrize("source", ["nosuch.json", "no_such_module:X", "json:NO_SUCH"])
    def test_one_that_is_not_there_is_told(self, triggers, command, source):
        refused = triggers(command, source)

        assert refused.exit_code == 2
        assert source in refused.stderr.replace("\n", "")

    def test_targets_are_looked_up_when_asked_for(self, shop, triggers):
        unasked = triggers("check", f"{shop}:LOST")
        fine = triggers("check", f"{shop}:STEPS", "--resolve")
        lost = triggers("check", f"{shop}:LOST", "--resolve")

        assert (unasked.exit_code, fine.exit_code, lost.exit_code) == (0, 0, 1)
        assert "task 'ship': TaskNotFound: run target 'shop_of_check.shop'" in lost.stdout
        assert "task 'tell': TaskNotFound: run target 'no.x'" in lost.stdout

    def test_a_target_that_is_not_allowed_is_refused(self, shop, triggers, plugins):
        plugins.allow_targets("mail.*")

        refused = triggers("check", f"{shop}:STEPS")

        assert refused.exit_code == 1
        assert "the target 'shop_of_check.ship' may not be run here" in refused.stderr

    def test_a_directive_that_nobody_claims_is_complained_of(self, shop, triggers):
        checked = triggers("check", f"{shop}:ODD")

        assert checked.exit_code == 1
        assert "nobody here knows the directive 'timeout'" in checked.stdout
        assert "x-team" not in checked.stdout


class TestJson:
    pytestmark = in_memory

    def test_what_is_a_table_for_people_is_json_for_programs(self, failed, triggers):
        (session,) = json.loads(triggers("sessions", "--json").stdout)
        runners = json.loads(triggers("runners", "--json").stdout)
        hooks = json.loads(triggers("plugins", "--json").stdout)
        recovered = json.loads(triggers("recover", "--once", "--json").stdout)

        assert session == {
            "session": "s",
            "manager": "tested",
            "instances": {"failed": 1},
            "closing": None,
        }
        assert {"name": "tasks", "hooks": ["triggers_resolve_task"], "problem": None} in hooks
        assert [line["name"] for line in runners] == ["held", "threading"]
        assert recovered == {"dispatched": [], "rerun": [], "failed": [], "errors": []}
