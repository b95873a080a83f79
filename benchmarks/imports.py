"""What it costs to have triggers: the time to import it, and what is installed with it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from measure import Pair, Prepare, Scale, Subject, Target, cost, more
from packaging.requirements import Requirement

BUILT_ON = "import contextlib, dataclasses, json, logging, pluggy, sqlite3"
MEGABYTE = 1e6


def subjects(scale: Scale) -> Iterator[Subject]:
    yield Subject(
        "import",
        {
            "import triggers_core": start("import triggers_core", scale.folder),
            "what it is built on": start(BUILT_ON, scale.folder),
            "import celery": start("from celery import Celery", scale.folder),
            "pass": start("pass", scale.folder),
        },
        [
            Pair(
                "import triggers_core − nothing, ms",
                "import triggers_core",
                "pass",
                Target(at_most=60),
                more,
            ),
            Pair(
                "import pluggy, sqlite3, … − nothing, ms", "what it is built on", "pass", None, more
            ),
            Pair("from celery import Celery − nothing, ms", "import celery", "pass", None, more),
        ],
        seconds=8,
        unit="ms",
    )
    yield weight("distributions installed", "", len, Target(at_most=4))
    yield weight("their size", "MB", lambda names: sum(map(size, names)) / MEGABYTE, None)


def start(code: str, folder: Path) -> Prepare:
    """Return the start of a fresh interpreter; modules are compiled, as pip leaves them."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run() -> None:
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)

    return lambda: run


def weight(
    what: str, unit: str, measured: Callable[[set[str]], float], target: Target | None
) -> Subject:
    return Subject(
        f"weight, {what}",
        {
            "nothing": lambda: lambda: 0.0,
            **{
                name: lambda name=name: lambda: float(measured(with_requirements(name)))
                for name in ("triggers-core", "triggers-celery", "celery")
            },
        },
        [
            Pair("triggers-core − nothing", "triggers-core", "nothing", target, more),
            Pair("triggers-celery − celery", "triggers-celery", "celery", None, more),
            Pair("triggers-core / celery", "triggers-core", "celery", None, cost),
        ],
        seconds=0,
        unit=unit,
    )


def with_requirements(name: str) -> set[str]:
    """Return the distribution's name and those of all that it needs, without extras."""
    found: set[str] = set()
    todo = [name]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name.lower().replace("_", "-"))
    return found


def size(name: str) -> int:
    """Return the bytes of the distribution's files, what Python compiles them to left out."""
    if name.startswith("triggers-"):  # installed as editable, so without a list of its files
        module = importlib.util.find_spec(name.replace("-", "_"))
        assert module is not None
        assert module.origin is not None
        paths = list(Path(module.origin).parent.rglob("*.py"))
    else:
        paths = [Path(str(file.locate())) for file in metadata.files(name) or ()]
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.exists())
