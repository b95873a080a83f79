"""Wheels of the workspace's distributions, and clean environments to install them in."""

import importlib.util
import os
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
DEADLINE = 300
"""Seconds. Far more than any command of an environment takes."""


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


def tool(name):
    """Return a module of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], check=True)


def build_wheels(folder, *distribution_folders):
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, *distribution_folders)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Name → wheel, of every distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    build_wheels(folder, *DISTRIBUTIONS.values())
    return {
        name: Wheel(name, path)
        for name in DISTRIBUTIONS
        for path in folder.glob(f"{name.replace('-', '_')}-*.whl")
    }


@pytest.fixture(scope="session")
def constraints(wheels, tmp_path_factory):
    """A constraints file by which siblings are the wheels just built, and never a registry's."""
    file = tmp_path_factory.mktemp("constraints") / "wheels.txt"
    file.write_text("".join(f"{name} @ {wheels[name].path.as_uri()}\n" for name in wheels))
    return file


@pytest.fixture(params=DISTRIBUTIONS)
def wheel(request, wheels):
    return wheels[request.param]


@pytest.fixture(scope="session")
def make_environment(constraints):
    """Return a function (folder, requirements) that makes an environment with these and what they
    require, and returns its interpreter."""

    def make(folder, *requirements):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        python = folder / "bin" / "python"
        pip(
            "--python", python, "install", "--no-compile",
            "-c", ROOT / "constraints.txt", "-c", constraints, *requirements,
        )  # fmt: skip
        return python

    return make


@pytest.fixture
def python(wheel, make_environment, tmp_path):
    """The interpreter of an environment with nothing but the wheel and what it requires."""
    return make_environment(tmp_path / "environment", wheel.name)


@pytest.fixture(scope="session")
def author(make_environment, tmp_path_factory):
    """A clean environment of the author of examples/custom_runner: its wheel and the checks."""
    folder = tmp_path_factory.mktemp("author")
    build_wheels(folder, ROOT / "examples" / "custom_runner")
    (wheel,) = folder.glob("triggers_custom_runner-*.whl")
    return Environment(make_environment(folder / "environment", wheel, "triggers-conformance[cli]"))


class Environment:
    """A clean environment, in which commands run as in a new shell."""

    def __init__(self, python):
        self.python = python
        self._programs = python.parent

    def run(self, program, *arguments, folder):
        """Run a program of the environment; return what it printed and its exit code."""
        return subprocess.run(
            [self._programs / program, *arguments],
            cwd=folder,
            env={**without_python_settings(os.environ), "PYTHONUTF8": "1", "COLUMNS": "100"},
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            check=False,
        )


def without_python_settings(environment):
    return {key: value for key, value in environment.items() if not key.startswith("PYTHON")}
