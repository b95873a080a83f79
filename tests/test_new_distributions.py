"""What new-runner and new-storage write is a distribution that works as it is.

It is written by the installed command, built, and installed where nothing of this repository is but
triggers-core, the checks, and a runner for the storage's README.
"""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from triggers_conformance.command import main

from .conftest import ROOT, Environment, build_wheels, pip


@dataclass(frozen=True)
class Begun:
    """A distribution that was begun: its folder, and the words by which it is checked."""

    folder: Path
    check: tuple[str, ...]


@pytest.fixture(scope="module")
def author(make_environment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("author") / "environment"
    return Environment(make_environment(folder, "triggers-conformance[cli]", "triggers-threading"))


@pytest.fixture(scope="module")
def begun(author, tmp_path_factory):
    """Both, by the word of what they are; installed."""
    folder = tmp_path_factory.mktemp("begun")
    for command in (["new-runner", "night-shift"], ["new-storage", "shoe_box"]):
        ran = author.run("triggers-conformance", *command, folder=folder)
        assert ran.returncode == 0, ran.stderr
    found = {
        "runner": Begun(folder / "triggers-night-shift", ("night-shift",)),
        "storage": Begun(folder / "triggers-shoe-box", ("storage", "shoe_box:{folder}/store")),
    }
    build_wheels(folder, *(each.folder for each in found.values()))
    pip("--python", author.python, "install", "--no-deps", *folder.glob("*.whl"))
    return found


@pytest.fixture(scope="module")
def checked(author, begun, tmp_path_factory):
    """What each one's own tests and the command printed, by word and program: run side by side, as
    most of the time they wait."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with ThreadPoolExecutor() as pool:
        running = {}
        for word, each in begun.items():
            running[word, "pytest"] = pool.submit(author.run, "pytest", "-q", folder=each.folder)
            running[word, "triggers-conformance"] = pool.submit(
                author.run, "triggers-conformance", *each.check, "--json", folder=elsewhere
            )
    return {key: future.result() for key, future in running.items()}


@pytest.fixture(params=["runner", "storage"])
def word(request):
    return request.param


def test_its_own_tests_pass(checked, word):
    ran = checked[word, "pytest"]

    assert ran.returncode == 0, ran.stdout
    assert re.search(r"\d+ passed", ran.stdout)


def test_the_command_says_that_it_conforms(checked, word):
    ran = checked[word, "triggers-conformance"]

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["conforms"] is True


def test_its_readme_shows_a_program_that_runs(author, begun, word, tmp_path):
    readme = (begun[word].folder / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")

    ran = author.run("python", "program.py", folder=tmp_path)

    assert (ran.stdout, ran.stderr) == ("shipping a globe\n", "")


@pytest.mark.parametrize(
    "tool",
    [
        ("ruff", "format", "--isolated", "--check", "."),
        ("ruff", "check", "--isolated", "--extend-select", "I", "."),
        ("mypy", "--strict", "--cache-dir", ".mypy_cache", "src"),
    ],
    ids=" ".join,
)
def test_its_source_is_clean(begun, word, tool):
    ran = subprocess.run(
        [sys.executable, "-m", *tool],
        cwd=begun[word].folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("command", "guide"),
    [
        (["new-runner", "printer"], "runners.md"),
        (["new-storage", "shoebox"], "storages.md"),
    ],
    ids=" ".join,
)
def test_the_guide_shows_what_is_printed(command, guide, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    main(command)

    shown = f"$ triggers-conformance {' '.join(command)}\n{capsys.readouterr().out}```\n"
    assert shown in (ROOT / "docs" / guide).read_text(encoding="utf-8")
