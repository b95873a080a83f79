"""What holds for every command: where its sessions are, its help, its errors, and JSON."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from triggers_core import (
    DispatchError,
    Plugins,
    SqliteStorage,
    TriggerManager,
    hookimpl,
    trigger_task,
)
from triggers_core.cli import commands

from .conftest import in_memory
from .looks import rows


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
