"""Every distribution of the workspace builds a wheel that works alone in a clean environment."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]

# Runs in the clean environment: prints what it finds wrong, one line each.
INSPECT = """
import importlib, sys
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path

name, *packages = sys.argv[1:]
distribution = metadata.distribution(name)
site_packages = Path(distribution.locate_file(""))
for package in {*packages, "triggers_core"}:
    module = importlib.import_module(package)
    if Path(module.__file__).parents[1] != site_packages:
        print(package, "comes from", module.__file__)
for package in packages:
    if not resources.files(package).joinpath("py.typed").is_file():
        print(package, "ships no py.typed")
for entry_point in distribution.entry_points:
    if entry_point.group != "pytest11" or find_spec("pytest"):
        entry_point.load()
licenses = [path for path in distribution.files if path.name == "LICENSE"]
if not any("MIT License" in path.read_text() for path in licenses):
    print("no LICENSE in", [str(path) for path in distribution.files])
if distribution.metadata["License-Expression"] != "MIT":
    print("the metadata's license is", distribution.metadata["License-Expression"])
"""


@dataclass(frozen=True)
class Wheel:
    """A wheel that was built, by the name of its distribution."""

    name: str
    path: Path

    @property
    def packages(self) -> set[str]:
        """What it puts beside its metadata."""
        with zipfile.ZipFile(self.path) as archive:
            roots = {Path(name).parts[0] for name in archive.namelist()}
        return {root for root in roots if not root.endswith(".dist-info")}


def distributions() -> Iterator[tuple[str, Path]]:
    """Yield (name, folder) of every distribution that stands at the root of the workspace."""
    for pyproject in sorted(ROOT.glob("*/pyproject.toml")):
        content = tomllib.loads(pyproject.read_text())
        if "project" in content:
            yield content["project"]["name"], pyproject.parent


DISTRIBUTIONS = dict(distributions())


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], check=True)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Name → wheel, of every distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, *DISTRIBUTIONS.values())
    return {
        name: Wheel(name, path)
        for name in DISTRIBUTIONS
        for path in folder.glob(f"{name.replace('-', '_')}-*.whl")
    }


@pytest.fixture(scope="module")
def constraints(wheels, tmp_path_factory):
    """A constraints file by which siblings are the wheels just built, and never a registry's."""
    file = tmp_path_factory.mktemp("constraints") / "wheels.txt"
    file.write_text("".join(f"{name} @ {wheels[name].path.as_uri()}\n" for name in wheels))
    return file


@pytest.fixture(params=DISTRIBUTIONS)
def wheel(request, wheels):
    return wheels[request.param]


@pytest.fixture
def python(wheel, constraints, tmp_path):
    """The interpreter of an environment with nothing but the wheel and what it requires."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip(
        "--python", python, "install", "--no-compile",
        "-c", ROOT / "constraints.txt", "-c", constraints, wheel.name,
    )  # fmt: skip
    return python


def test_a_wheel_holds_its_one_package_alone(wheel):
    assert wheel.packages == {wheel.name.replace("-", "_")}


def test_a_wheel_works_alone_outside_the_repository(wheel, python, tmp_path):
    inspected = subprocess.run(
        [python, "-I", "-c", INSPECT, wheel.name, *wheel.packages],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert inspected.returncode == 0, inspected.stderr
    assert inspected.stdout == ""


@pytest.mark.parametrize("wheel", ["triggers-core"], indirect=True)
def test_without_its_extra_the_command_says_how_to_install_it(wheel, python, tmp_path):
    command = python.with_name("triggers")

    ran = subprocess.run([command], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.returncode == 1
    assert "pip install 'triggers-core[cli]'" in ran.stderr
