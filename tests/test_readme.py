"""What the documents say is so: their code runs and prints what they show, their links lead on."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEADLINE = 60
WITH_PROGRAMS = [
    "README.md",
    "triggers_core/README.md",
    "triggers_threading/README.md",
    "triggers_celery/README.md",
    "triggers_opentelemetry/README.md",
]
DOCUMENTS = [
    *WITH_PROGRAMS,
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/celery.md",
    "docs/decisions.md",
]


def run(program, folder):
    (folder / "program.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "program.py"],
        cwd=folder,
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def output(folder, *command):
    """Return what a command prints where nothing but UTF-8 is set."""
    return subprocess.run(
        command,
        cwd=folder,
        check=True,
        capture_output=True,
        encoding="utf-8",
        env={"PYTHONUTF8": "1"},
        timeout=DEADLINE,
    ).stdout


def program_of(document):
    """Return the document's first program, and the output that it shows after it."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```\s+```\n(.*?)```", text, re.DOTALL).groups()


@pytest.mark.parametrize("document", WITH_PROGRAMS)
def test_the_program_prints_what_the_document_shows(document, tmp_path):
    program, shown = program_of(document)

    assert run(program, tmp_path) == shown


def test_the_readmes_program_does_nothing_when_it_is_run_again(tmp_path):
    program, _ = program_of("README.md")
    run(program, tmp_path)

    assert run(program, tmp_path) == ""


def test_the_readmes_command_shows_what_its_program_did(tmp_path):
    program, _ = program_of("README.md")
    run(program, tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"`triggers (show [^`]+)`", text)

    printed = output(tmp_path, Path(sys.executable).with_name("triggers"), *shlex.split(command))

    assert re.findall(r"(\w+)#0 *│ finished", printed) == ["ship", "tell"]


def test_the_readme_shows_the_demos_own_table(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    seed = re.search(r"^seed (\d+):", text, re.MULTILINE)[1]
    demo = ROOT / "examples" / "questionnaire" / "demo.py"

    printed = output(tmp_path, sys.executable, demo, seed)

    assert printed[printed.index("┏") :].strip() in text
    assert printed.splitlines()[0] in text


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_to_files_lead_somewhere(document):
    path = ROOT / document
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))

    broken = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert broken == []
