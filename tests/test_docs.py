"""What the guide shows is so: each document's files, programs and commands run, in order, in one
empty folder, and print what the document says.

In an output, ``…`` stands for anything. What sets up the reader's own environment is not run. A
command that ends with ``&`` goes on running until the document's end.
"""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from redis import Redis, RedisError

ROOT = Path(__file__).parents[1]
DEADLINE = 60
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
SET_UP = ("pip ", "python3 -m venv ", ". .venv/")
CHECKED_BY_READING = {"json": json.loads}
SHOWN_ONLY = {"mermaid", "ini", "toml", "sql"}
SETTINGS = "celeryconfig.py"
VARIABLE = "TRIGGERS_TEST_REDIS"
BROKER_URL = os.environ.get(VARIABLE, "redis://127.0.0.1:6379/13")

BLOCK = re.compile(
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Reader:
    """Does what a document says, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TRIGGERS_")},
            "COLUMNS": "100",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUTF8": "1",
        }
        self.started = []
        self.settings = ""

    def use_broker(self, prefix):
        """Have the document's Celery app use the tests' broker, by names of its own there."""
        options = {"global_keyprefix": prefix}
        self.settings = f"broker_url = {BROKER_URL!r}\nbroker_transport_options = {options!r}\n"

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + self.settings * (name == SETTINGS), encoding="utf-8")

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

    def start(self, command):
        with (self.folder / "started.log").open("ab") as log:
            process = subprocess.Popen(
                command.split(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        self.started.append(process)

    def stop_what_was_started(self):
        for process in self.started:
            process.terminate()
        for process in self.started:
            assert process.wait(DEADLINE) == 0, (self.folder / "started.log").read_text()

    def run_program(self, text):
        self.write("program.py", text)
        return self.run(sys.executable, "-W", "error", "program.py")

    def run_commands(self, text):
        """Run each line after a ``$``, and compare what follows it."""
        for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                self.environment[name] = value
            elif command.endswith(" &"):
                self.start(command.removesuffix("&"))
            elif not command.startswith(SET_UP):
                expect(shown, self.run("bash", "-c", command), command)


def expect(shown, printed, source):
    pattern = ".*".join(map(re.escape, shown.rstrip().split("…")))
    assert re.fullmatch(pattern, printed.rstrip(), re.DOTALL), f"{source}\nprinted:\n{printed}"


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
    reader = Reader(tmp_path)
    if f'title="{SETTINGS}"' in path.read_text(encoding="utf-8"):
        reader.use_broker(request.getfixturevalue("redis_prefix"))
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


def test_an_output_that_is_not_printed_is_found():
    with pytest.raises(AssertionError):
        expect("a … c\n", "a b d\n", "")
