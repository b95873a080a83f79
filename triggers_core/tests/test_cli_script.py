"""The installed script ``triggers``: its surroundings, its signals, its terminal and its shell."""

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from triggers_core import Plugins, SqliteStorage, TriggerManager

from .looks import rows

SCRIPT = Path(sys.executable).with_name("triggers")
DEADLINE_SECONDS = 60.0


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
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_output_that_cannot_be_written_is_one_line(self, start, how, unbuffered):
        surroundings = {
            "TRIGGERS_STORAGE": "sqlite:///shop.db",
            "COLUMNS": "200",
            "PYTHONUNBUFFERED": unbuffered,
        }
        with open("/dev/full", "w") as full:
            process = start("sessions", *how, stdout=full, **surroundings)
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
