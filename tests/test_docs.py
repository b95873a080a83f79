"""What the guide shows is so: each document's files, programs and commands run, in order, in one
empty folder, and print what the document says.

In an output, ``…`` stands for anything; in an ``export`` after it, for what it stood for there.
What ``pip install`` names is looked up, and the folder's own distribution is installed. ``triggers
web`` serves until it is started again, a command that ends with ``&`` runs until the document's
end, and a Python file that nothing has run by then is imported.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import uuid
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from redis import Redis, RedisError

from triggers_core.cli import commands

ROOT = Path(__file__).parents[1]
DEADLINE = 120  # seconds
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
SET_UP = ("python3 -m venv ", ". .venv/")
SHOWN_ONLY = {"text", "toml", "sql"}
VARIABLE = "TRIGGERS_TEST_REDIS"
BROKER_URL = os.environ.get(VARIABLE, "redis://127.0.0.1:6379/13")
WEB = "triggers web"
WEB_ADDRESS = "http://127.0.0.1:8765/"
WHAT_ANY_STANDS_FOR = "…"

BLOCK = re.compile(
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
STEP = re.compile(r"(?P<command>(?:.*\\\n)*.*)\n?(?P<shown>(?:.*\n?)*)")
BROKER = re.compile(
    r'^(?P<name> *(?:CELERY_)?broker_)url(?P<equals> ?= ?)"redis://localhost"(?P<end>,?)$',
    re.IGNORECASE | re.MULTILINE,
)
CONTAINER = re.compile(r" *(?:[-*+:]|\d+\.) +")
DIRECTIVE = ":::"
CODE_INDENT = 4

# Is loaded by every Python that the document starts, and notes which files of the folder it runs.
SITECUSTOMIZE = """
import os, sys

def note(event, arguments, folder={folder!r}, notes={notes!r}):
    if event == "exec":
        path = getattr(arguments[0], "co_filename", "")
    elif event == "cpython.run_file":
        path = arguments[0]
    else:
        return
    path = os.path.realpath(path)
    if path.startswith(folder):
        with open(notes, "a", encoding="utf-8") as file:
            file.write(path + "\\n")

sys.addaudithook(note)
"""
IMPORT = """
import sys
from importlib import import_module
from pathlib import Path

path = Path(sys.argv[1])
module = path.parent if path.stem == "__init__" else path.with_suffix("")
sys.path.insert(0, str(module.parent))
import_module(module.name)
"""


class Reader:
    """Does what a document says, in a folder of its own."""

    def __init__(self, tmp_path, broker_prefix=""):
        self.folder = tmp_path / "empty"
        self.folder.mkdir()
        self.packages = tmp_path / "packages"
        self.packages.mkdir()
        self.notes = tmp_path / "ran.txt"
        self.notes.touch()
        folder = os.path.realpath(self.folder) + os.sep
        (self.packages / "sitecustomize.py").write_text(
            SITECUSTOMIZE.format(folder=folder, notes=str(self.notes)), encoding="utf-8"
        )
        self.log = tmp_path / "started.log"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TRIGGERS_")},
            "COLUMNS": "100",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.packages),
            "PYTHONUTF8": "1",
        }
        self.broker_prefix = broker_prefix
        self.web = None
        self.web_address = WEB_ADDRESS
        self.started = []
        self.any_stood_for = ""

    def write(self, name, text):
        path = self.folder / name
        assert path.suffix != ".py" or not path.exists(), f"{name} is written twice"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(BROKER.sub(self._own_broker, text), encoding="utf-8")

    def _own_broker(self, setting):
        """Have an app use the tests' broker, by names of the document's own there."""
        name, equals, end = setting["name"], setting["equals"], setting["end"]
        url, options = (
            ("URL", "TRANSPORT_OPTIONS") if name.isupper() else ("url", "transport_options")
        )
        prefix = {"global_keyprefix": self.broker_prefix}
        return f"{name}{url}{equals}{BROKER_URL!r}{end}\n{name}{options}{equals}{prefix!r}{end}"

    def run(self, *command):
        done = subprocess.run(
            command,
            cwd=self.folder,
            check=False,
            capture_output=True,
            encoding="utf-8",
            env=self.environment,
            timeout=DEADLINE,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, command, stdout=None):
        with self.log.open("ab") as log:
            return subprocess.Popen(
                shlex.split(command),
                cwd=self.folder,
                stdout=stdout or log,
                stderr=log,
                encoding="utf-8",
                env=self.environment,
            )

    def serve(self, command, shown):
        """Start ``triggers web`` in place of the one before, at a free port, and go on when it has
        printed what is shown."""
        if self.web:
            self.started.remove(self.web)
            self.web.terminate()
            self.check_end(self.web)
        self.web = self.start(f"{command} --port 0", stdout=subprocess.PIPE)
        too_late = threading.Timer(DEADLINE, self.web.kill)
        too_late.start()
        printed = "".join(self.web.stdout.readline() for _ in shown.splitlines())
        too_late.cancel()
        if not printed:
            self.web.communicate()
            pytest.fail(f"{command}\n{self.log.read_text()}")
        self.started.append(self.web)
        self.web_address = re.search(r"http://[^/]+/", printed)[0]
        self.expect(shown, printed, command)

    def check_end(self, process):
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, self.log.read_text()

    def stop_what_was_started(self):
        for process in self.started:
            process.terminate()
        for process in self.started:
            self.check_end(process)

    def run_program(self, text):
        path = self.folder / "program.py"
        path.write_text(text, encoding="utf-8")
        return self.run(sys.executable, "-W", "error", path.name)

    def run_commands(self, text):
        """Run each line after a ``$``, and compare what follows it."""
        for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, shown = STEP.fullmatch(step).groups()
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                is_any = value == WHAT_ANY_STANDS_FOR
                self.environment[name] = self.any_stood_for if is_any else value
            elif command.startswith("pip install "):
                self.install(*shlex.split(command.removeprefix("pip install "), comments=True))
            elif command.startswith(WEB):
                self.serve(command, shown)
            elif command.endswith(" &"):
                self.started.append(self.start(command.removesuffix(" &")))
            elif not command.startswith(SET_UP):
                command = command.replace(WEB_ADDRESS, self.web_address)
                self.expect(shown, self.run("bash", "-c", command), command)

    def expect(self, shown, printed, source):
        printed = printed.replace(self.web_address, WEB_ADDRESS)
        stood_for = expect(shown, printed, source)
        if stood_for:
            self.any_stood_for = stood_for[-1]

    def install(self, *words):
        """Install the folder's own distribution, and look whether there is what else is named."""
        for word in words:
            if word == ".":
                options = ["--no-index", "--no-deps", "--no-build-isolation"]
                target = ["--target", str(self.packages)]
                self.run(sys.executable, "-m", "pip", "install", "-q", *options, *target, word)
            elif not word.startswith("-"):
                look_up(word)

    def import_what_nothing_ran(self):
        """Import each file that no block has run, so that at least its own lines are."""
        ran = self.notes.read_text(encoding="utf-8").splitlines()
        for path in map(os.path.realpath, self.folder.rglob("*.py")):
            if path not in ran:
                self.run(sys.executable, "-W", "error", "-c", IMPORT, path)


def expect(shown, printed, source):
    """Return what each ``…`` stands for."""
    pattern = "(.*)".join(map(re.escape, shown.rstrip().split(WHAT_ANY_STANDS_FOR)))
    match = re.fullmatch(pattern, printed.rstrip(), re.DOTALL)
    assert match, f"{source}\nprinted:\n{printed}"
    return match.groups()


def look_up(requirement):
    """Find what ``pip install`` names, an index's or a clone's, and its extras."""
    wanted = Requirement(requirement.rpartition("/")[2])
    extras = metadata.metadata(wanted.name).get_all("Provides-Extra", [])
    assert wanted.extras <= set(extras), f"{requirement}: {wanted.name} has the extras {extras}"


def parse_options(command):
    """Have ``triggers`` read its options and arguments, as far as it can without doing anything."""
    program, *arguments = shlex.split(command)
    assert Path(program).name == "triggers"
    cli = typer.main.get_command(commands.build())
    context = cli.context_class(cli)
    _, (name, *rest), _ = cli.make_parser(context).parse_args(arguments)
    found = cli.get_command(context, name)
    assert found, f"{command}: there is no command {name!r}"
    found.make_context(name, rest, parent=context)


def read_service(text):
    """Read the settings of a systemd service, and its command."""
    settings = ConfigParser()
    settings.read_string(text)
    parse_options(settings["Service"]["ExecStart"])


CHECKED_BY_READING = {"json": json.loads, "ini": read_service}


def code_outside_blocks(text):
    """Return (line number, line) of what Markdown takes for code, or for a fence, and we do not.

    Indented by four more than the text that it belongs to, a line is code.
    """
    outside = BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
    found, column = [], 0
    for number, line in enumerate(outside.splitlines(), start=1):
        content = line.lstrip()
        start = len(line[: len(line) - len(content)].expandtabs(CODE_INDENT))
        if not content:
            continue
        if start >= column + CODE_INDENT or content.startswith(("```", "~~~")):
            found.append((number, line))
        elif container := CONTAINER.match(line):
            column = container.end()
        elif line.startswith(DIRECTIVE):
            column = CODE_INDENT
        elif not start:
            column = 0
    return found


def blocks(path):
    return [match.groupdict() for match in BLOCK.finditer(path.read_text(encoding="utf-8"))]


@pytest.fixture
def redis_prefix():
    """Return a prefix of keys in Redis that are deleted in the end."""
    with Redis.from_url(BROKER_URL) as client:
        try:
            client.ping()
        except RedisError as error:
            message = (
                f"no redis answers at {BROKER_URL}; start one there, or name one in {VARIABLE}"
            )
            if os.environ.get("CI") == "true":
                pytest.fail(f"{message}: {error}")
            pytest.skip(message)
        prefix = f"triggers-docs-{uuid.uuid4().hex[:8]}-"
        yield prefix
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


@pytest.fixture
def reader(path, tmp_path, request):
    needs_broker = BROKER.search(path.read_text(encoding="utf-8"))
    reader = Reader(tmp_path, request.getfixturevalue("redis_prefix") if needs_broker else "")
    yield reader
    reader.stop_what_was_started()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_is_true(path, reader):
    printed = None
    for block in blocks(path):
        language, title, body = block.values()
        if title:
            reader.write(title, body)
        elif language == "python":
            printed = reader.run_program(body)
        elif language == "console":
            reader.run_commands(body)
        elif language in CHECKED_BY_READING:
            CHECKED_BY_READING[language](body)
        elif not language:
            assert printed is not None, f"whose output is this?\n{body}"
            expect(body, printed, path.name)
            printed = None
        else:
            assert language in SHOWN_ONLY, f"how is {language!r} to be checked?"
    reader.import_what_nothing_ran()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_documents_code_is_in_blocks_that_are_checked(path):
    found = code_outside_blocks(path.read_text(encoding="utf-8"))

    assert not found, "\n".join(f"{path.name}:{number}: {line}" for number, line in found)


@pytest.mark.parametrize(
    "text",
    [
        "so:\n\n    triggers wbe --storge\n",
        "# so\n    triggers wbe\n",
        "- so:\n\n        triggers wbe\n",
        "- so\n\nand\n\n    triggers wbe\n",
        "- so:\n\n  ```console\n  $ triggers wbe\n  ```\n",
        "~~~\n$ triggers wbe\n~~~\n",
        '```console hl_lines="1"\n$ triggers wbe\n```\n',
        "\ttriggers wbe\n",
    ],
)
def test_code_that_is_in_no_such_block_is_found(text):
    assert code_outside_blocks(text)


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ triggers\n    shown\n```\n",
        "- so\n  and so\n",
        "word\n: means\n\n    | a table |\n",
        "::: module\n    options:\n      filters: []\n",
    ],
)
def test_what_is_no_code_is_not_found(text):
    assert code_outside_blocks(text) == []


@pytest.mark.parametrize("text", ["def broken(", "import no_such_module", "1 / 0"])
def test_a_file_that_nothing_runs_is_imported(text, tmp_path):
    reader = Reader(tmp_path)
    reader.write("before.py", text)

    with pytest.raises(AssertionError):
        reader.import_what_nothing_ran()


def test_a_file_that_was_run_is_not_run_again(tmp_path):
    reader = Reader(tmp_path)
    reader.write("order.py", "import shop; open('orders', 'x')")
    reader.write("shop.py", "open('shops', 'x')")
    reader.run_commands("$ python order.py\n")

    reader.import_what_nothing_ran()


@pytest.mark.parametrize(
    "command",
    [
        "triggers web --storge sqlite:///permits.db",
        "triggers wbe",
        "pip install 'triggers-core[clii]'",
        "pip install ../triggers/triggers_cor",
    ],
)
def test_a_command_that_is_misspelt_is_found(command, tmp_path):
    with pytest.raises((AssertionError, pytest.fail.Exception, metadata.PackageNotFoundError)):
        Reader(tmp_path).run_commands(f"$ {command}\nsessions are at …\n")


@pytest.mark.parametrize("command", ["triggers recovr", "triggers recover --onec"])
def test_a_services_command_that_is_misspelt_is_found(command):
    with pytest.raises(Exception, match="recovr|--onec"):
        read_service(f"[Service]\nExecStart=/bin/{command}\n")


def test_an_output_that_is_not_printed_is_found():
    with pytest.raises(AssertionError):
        expect("a … c\n", "a b d\n", "")
