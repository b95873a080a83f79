"""Every distribution of the workspace builds a wheel that works alone in a clean environment."""

import subprocess

import pytest

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
