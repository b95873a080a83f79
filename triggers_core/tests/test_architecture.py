"""The core's rooms import downwards only, and the core needs pluggy and importlib-metadata alone.

The order itself stands in the workspace's pyproject.toml, as contracts of import-linter.
"""

import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import grimp
import pytest

import triggers_core

PACKAGE = Path(triggers_core.__file__).parent
CONTRACTS = Path(__file__).parents[2] / "pyproject.toml"
EXTRA = {"typer", "rich"}
ON_DEMAND = {("triggers_core.plugins.entry_points", "importlib_metadata")}


@pytest.fixture
def copy(tmp_path):
    """Give a copy of the package, beside the contracts, to plant something in."""
    shutil.copy(CONTRACTS, tmp_path)
    return shutil.copytree(PACKAGE, tmp_path / "triggers_core")


def lint(copy):
    """Check the contracts against a copy of the package."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=copy.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_modules_import_only_those_further_down(copy):
    checked = lint(copy)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("errors", "import triggers_core.manager", "A room imports only from those further down"),
        ("task", "from triggers_core import runner", "A room imports only from those further down"),
        (
            "engine/work",
            "from triggers_core.engine import change",
            "A fire goes one way down through the engine",
        ),
        (
            "storage/memory",
            "from triggers_core.storage import sqlite",
            "Storages share their contract and nothing else",
        ),
        (
            "rules/join",
            "import sqlite3",
            "Rules do no input or output, and know no time and no thread",
        ),
        (
            "errors",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import triggers_core.manager",
            "A room imports only from those further down",
        ),
    ],
)
def test_an_import_upwards_or_sideways_is_found(copy, module, line, broken):
    with (copy / f"{module}.py").open("a") as source:
        source.write(f"\n{line}\n")

    checked = lint(copy)

    assert checked.returncode == 1
    assert f"{broken} BROKEN" in checked.stdout


def test_a_module_without_a_place_in_the_order_is_found(copy):
    (copy / "helpers.py").touch()

    checked = lint(copy)

    assert checked.returncode == 1
    assert "triggers_core.helpers" in checked.stdout


def test_only_what_needs_an_extra_imports_more_than_the_core_requires():
    graph = grimp.build_graph(
        "triggers_core",
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )

    imported = {
        (module, package)
        for module in graph.modules
        for package in graph.find_modules_directly_imported_by(module)
        if package.partition(".")[0] not in {"triggers_core", *sys.stdlib_module_names}
    }

    command_line = {each for each in imported if each[0].startswith("triggers_core.cli.")}
    testing = {each for each in imported if each[0] == "triggers_core.testing"}
    always = imported - command_line - testing - ON_DEMAND
    assert {package for _, package in always} == {"pluggy"}
    assert {package for _, package in command_line} == {*EXTRA, "importlib_metadata"}


def test_the_distribution_requires_pluggy_and_importlib_metadata_alone():
    required = [line for line in metadata.requires("triggers-core") if "extra ==" not in line]

    names = {re.match(r"[\w.-]+", line).group() for line in required}
    assert names == {"pluggy", "importlib-metadata"}


@pytest.mark.parametrize("package", ["triggers_core", "triggers_conformance"])
def test_entry_points_are_read_in_one_place(package):
    """Not by the standard library's own copy, which differs from Python to Python."""
    graph = grimp.build_graph(package, include_external_packages=True, cache_dir=None)
    readers = {
        module
        for module in graph.modules
        for line in graph.find_modules_directly_imported_by(module)
        if line == "importlib"
        for detail in graph.get_import_details(importer=module, imported=line)
        if "metadata" in detail["line_contents"]
    }

    assert readers == set()


def test_importing_the_core_loads_pluggy_and_the_standard_library_alone():
    """No runner, no Celery, no SQL driver but sqlite3, no command line, no entry points.

    And of the standard library, nothing slow that only what is used on demand needs.
    """
    probe = (
        "import json, sys; before = set(sys.modules); import triggers_core; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    ).stdout

    packages = {module.partition(".")[0] for module in json.loads(printed)}
    assert packages - sys.stdlib_module_names == {"triggers_core", "pluggy"}
    assert packages & {"pathlib", "urllib", "asyncio", "argparse", "tempfile"} == set()
