"""What a package index will show of each distribution, and what the check of a release finds."""

import re
import shutil
import zipfile

import pytest

from .conftest import ROOT, tool

check_release = tool("check_release")


def long_description(wheel):
    with zipfile.ZipFile(wheel.path) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        return archive.read(metadata).decode().partition("\n\n")[2]


def test_an_index_shows_no_link_or_picture_that_leads_nowhere_and_no_source_of_one(wheels):
    for wheel in wheels.values():
        text = long_description(wheel)
        links = re.findall(r"\]\(([^)]*)\)", text)

        assert text.startswith(f"# {wheel.name}\n")
        assert [link for link in links if not link.startswith(("https://", "#"))] == []
        assert "```mermaid" not in text


@pytest.fixture
def built(wheels, tmp_path):
    """Give a folder with each wheel, and a source distribution's name beside it."""
    for wheel in wheels.values():
        shutil.copy(wheel.path, tmp_path)
        (tmp_path / f"{wheel.path.stem.removesuffix('-py3-none-any')}.tar.gz").touch()
    return tmp_path


def test_a_whole_release_passes(built, capsys):
    assert check_release.main(ROOT, built) == 0, capsys.readouterr().out


def test_a_release_that_lacks_a_distribution_or_the_types_is_refused(built, capsys):
    (core,) = built.glob("triggers_core-*.whl")
    (threading,) = built.glob("triggers_threading-*.whl")
    threading.unlink()
    with zipfile.ZipFile(core) as archive:
        kept = {n: archive.read(n) for n in archive.namelist() if not n.endswith("py.typed")}
    with zipfile.ZipFile(core, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)

    assert check_release.main(ROOT, built) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{core.name} has no py.typed",
        f"{threading.name} is missing",
    ]
