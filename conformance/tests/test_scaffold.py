"""new-runner and new-storage: what they write, and that they write nothing where they refuse.

That what they write works is shown with the wheel, in the repository's own tests.
"""

import ast
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from triggers_conformance import scaffold
from triggers_conformance.command import main

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
PROJECTS = sorted(PYPROJECT.parents[1].glob("*/pyproject.toml"))
LONG = "warehouse-of-the-old-town"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which the command is typed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder):
    """Path → text of the files below the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_runner_is_written_as_a_whole_distribution(folder, capsys):
    assert main(["new-runner", "night_shift"]) == 0

    assert set(written(folder)) == {
        f"triggers-night-shift/{path}"
        for path in (
            ".github/workflows/ci.yml",
            ".gitignore",
            "README.md",
            "pyproject.toml",
            "src/triggers_night_shift/__init__.py",
            "src/triggers_night_shift/py.typed",
            "tests/test_night_shift.py",
        )
    }
    commands = ["cd triggers-night-shift", "pip install -e '.[test]'", "pytest"]
    assert [line.strip() for line in capsys.readouterr().out.splitlines()[-3:]] == commands


def test_a_storage_is_written_into_the_folder_that_is_named(folder, capsys):
    (folder / "my work").mkdir()

    assert main(["new-storage", "shoe-box", "my work"]) == 0

    texts = written(folder / "my work" / "triggers-shoe-box")
    assert 'shoe-box = "triggers_shoe_box:ShoeBoxStorage"' in texts["pyproject.toml"]
    assert "class ShoeBoxStorage(Storage):" in texts["src/triggers_shoe_box/storage.py"]
    assert "cd 'my work/triggers-shoe-box'" in capsys.readouterr().out


def test_a_name_that_says_what_it_is_of_does_not_say_so_twice(folder):
    main(["new-runner", "night-runner"])

    module = folder / "triggers-night-runner" / "src" / "triggers_night_runner" / "__init__.py"
    assert "class NightRunner(BaseTaskRunner):" in module.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", sorted(scaffold.COMMANDS))
def test_the_formatting_holds_for_short_and_long_names(folder, command):
    for name in ("q", LONG):
        main([command, name])

    ran = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--check", "."],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("command", sorted(scaffold.COMMANDS))
def test_nothing_is_left_to_be_replaced(folder, command):
    main([command, "shoe_box"])

    for path, text in written(folder).items():
        assert re.findall(r"\$\w+", text) == [], path
        if path.endswith(".py"):
            ast.parse(text)


def test_every_template_is_used():
    templates = files("triggers_conformance") / "templates"
    found = {
        path.relative_to(templates).as_posix()
        for path in Path(str(templates)).rglob("*.*")
        if path.is_file()
    }

    assert found == set(scaffold.templates())


def test_what_is_asked_for_is_of_the_series_of_this_distribution():
    assert f'"triggers-core{scaffold.SERIES}"' in PYPROJECT.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "name", "said"),
    [
        ("new-runner", "Night", "expected small letters"),
        ("new-runner", "2nd", "expected small letters"),
        ("new-runner", "night shift", "expected small letters"),
        ("new-runner", "night--shift", "expected small letters"),
        ("new-runner", "night-", "expected small letters"),
        ("new-runner", "nächte", "expected small letters"),
        ("new-runner", "../night", "expected small letters"),
        ("new-runner", "", "expected small letters"),
        ("new-runner", "threading", "by the distribution triggers-threading"),
        ("new-storage", "sqlite", "by the distribution triggers-core"),
        ("new-storage", "threading", "the package 'triggers_threading' is there already"),
        ("new-runner", "core", "the package 'triggers_core' is there already"),
        ("new-runner", "storage", "is a command of triggers-conformance"),
        ("new-runner", "new-runner", "is a command of triggers-conformance"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_clear_error(folder, capsys, command, name, said):
    assert main([command, name]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"triggers-conformance {command}: ")
    assert err.count("\n") == 1
    assert said in err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", [path.parent.name.removeprefix("triggers_") for path in PROJECTS])
def test_a_name_of_ours_is_refused_where_it_is_not_installed(folder, capsys, monkeypatch, name):
    monkeypatch.setattr(scaffold, "find_spec", lambda name: None)
    monkeypatch.setattr(scaffold, "installed", lambda group: [])

    assert main(["new-storage", name]) == 2
    assert f"the package 'triggers_{name}' is there already" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_there_already_is_left_as_it_is(folder, capsys, kind):
    there = folder / "triggers-night"
    there.mkdir() if kind == "folder" else there.touch()

    assert main(["new-runner", "night"]) == 2

    assert "triggers-night exists already, and is left as it is" in capsys.readouterr().err
    assert list(folder.rglob("*")) == [there]


def test_a_folder_that_is_not_there_is_named(folder, capsys):
    assert main(["new-runner", "night", "nowhere"]) == 2

    assert "nowhere" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_what_cannot_be_written_whole_is_taken_away_again(folder, capsys, monkeypatch):
    write_bytes = Path.write_bytes

    def fail_at_the_tests(path, content):
        if path.parent.name == "tests":
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_at_the_tests)

    assert main(["new-runner", "night"]) == 2

    assert "No space left on device" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_words_that_it_does_not_know_are_refused_with_its_usage(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["new-runner"])

    assert ended.value.code == 2
    assert "usage: triggers-conformance new-runner" in capsys.readouterr().err
