"""Checks how the code stands together: no circle of imports, and no file, of tests either, that is
too long.

Imports for the type checker alone count like all others. What a layer may import is held by
import-linter's contracts in pyproject.toml; here is what no contract says, for every distribution
and for the folders of scripts.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

MOST_LINES = 450
SCRIPTS = ("benchmarks", "faults")
"""Folders whose files import each other by bare names."""

Imports = Mapping[str, set[str]]
"""Module → the modules of the same distribution that it imports."""


def main(root: Path) -> int:
    """Print what is wrong below the root, a line each; return the exit code."""
    found = [*_circles(root), *_long_files(root)]
    for line in found:
        print(line)
    return 1 if found else 0


def _circles(root: Path) -> Iterator[str]:
    for package in sorted(root.glob("*/src/*/")):
        yield from _circle(_imports_within(package, package.name + "."))
    for folder in SCRIPTS:
        yield from _circle(_imports_within(root / folder, ""))


def _circle(imports: Imports) -> Iterator[str]:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        # From what is imported to who imports it; told the other way round.
        yield f"circle of imports: {' → '.join(reversed(error.args[1]))}"


def _imports_within(folder: Path, prefix: str) -> Imports:
    """Return the imports between the files of a folder.

    Args:
        prefix: what their names begin with: a package's name and a dot; nothing for scripts.
    """
    files = {_module(path, folder, prefix): path for path in folder.rglob("*.py")}
    return {
        module: {_known(name, files) for name in _imported(path, module)} - {"", module}
        for module, path in files.items()
    }


def _module(path: Path, folder: Path, prefix: str) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return (prefix + ".".join(part for part in parts if part != "__init__")).rstrip(".")


def _known(name: str, files: Mapping[str, Path]) -> str:
    """Return the file that the name is in; "" where it is none of these."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name


def _imported(path: Path, module: str) -> Iterator[str]:
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # One dot is the module's own package, each further one the package around it.
            around = package[: len(package) - node.level + 1] if node.level else []
            origin = [*around, *filter(None, [node.module])]
            yield from (".".join([*origin, alias.name]) for alias in node.names)


def _long_files(root: Path) -> Iterator[str]:
    folders = [*root.glob("*/src"), *root.glob("*/tests")]
    folders += [root / folder for folder in (*SCRIPTS, "examples", "tests", "tools")]
    for path in sorted(file for folder in folders for file in folder.rglob("*.py")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            yield f"{path.relative_to(root)} has {lines} lines, and {MOST_LINES} are the most"


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1]))
