"""That the check of the house, which ``make lint`` runs, finds what it is there to find."""

import pytest

from .conftest import ROOT, tool

check_house = tool("check_house")


@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))

    for folder in check_house.SCRIPTS:
        (tmp_path / folder).mkdir()
    return write


def test_this_house_stands(capsys):
    assert check_house.main(ROOT) == 0, capsys.readouterr().out


def test_a_circle_is_named_by_its_files(write, tmp_path, capsys):
    write("dist/src/pack/__init__.py")
    write("dist/src/pack/a.py", "from pack import b")
    write("dist/src/pack/b.py", "import pack.sub.c")
    write("dist/src/pack/sub/c.py", "from pack.a import something")

    assert check_house.main(tmp_path) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("circle of imports: ")
    for arrow in ("pack.a → pack.b", "pack.b → pack.sub.c", "pack.sub.c → pack.a"):
        assert arrow in line


def test_a_circle_of_relative_imports_is_one(write, tmp_path, capsys):
    write("dist/src/pack/__init__.py", "from .sub import b")
    write("dist/src/pack/a.py", "from . import sub")
    write("dist/src/pack/sub/__init__.py", "from .b import something")
    write("dist/src/pack/sub/b.py", "from ..a import other")

    assert check_house.main(tmp_path) == 1
    (line,) = capsys.readouterr().out.splitlines()
    for arrow in ("pack.a → pack.sub", "pack.sub → pack.sub.b", "pack.sub.b → pack.a"):
        assert arrow in line


def test_a_circle_for_the_type_checker_alone_is_one(write, tmp_path, capsys):
    write("faults/stage.py", "import verdict")
    write(
        "faults/verdict.py",
        "from typing import TYPE_CHECKING",
        "if TYPE_CHECKING:",
        "    from stage import Stage",
    )

    assert check_house.main(tmp_path) == 1
    assert "stage → verdict" in capsys.readouterr().out


@pytest.mark.parametrize(
    "folder", ["benchmarks", "dist/src/pack", "dist/tests", "dist/tests/app", "tests"]
)
def test_a_file_that_is_too_long_is_named(folder, write, tmp_path, capsys):
    write(f"{folder}/long.py", *["x = 1"] * (check_house.MOST_LINES + 1))
    write(f"{folder}/short.py", *["x = 1"] * check_house.MOST_LINES)

    assert check_house.main(tmp_path) == 1
    assert capsys.readouterr().out == f"{folder}/long.py has 451 lines, and 450 are the most\n"
