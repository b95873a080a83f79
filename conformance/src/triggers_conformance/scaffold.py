"""``new-runner`` and ``new-storage``: a distribution to begin with, which is whole and conforms.

What it holds is in ``templates/``, as files in which ``$name`` and the like are replaced.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from triggers_core.plugins.entry_points import installed

SERIES = ">=0.1,<0.2"
"""The versions of triggers-core, and of this distribution, that a new one asks for."""

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.ASCII)
_OURS = frozenset(
    {"celery", "conformance", "core", "opentelemetry", "postgres", "threading", "web"}
)
"""What is called ``triggers-…`` already, installed or not."""
_COMMANDS = frozenset({"new-runner", "new-storage", "storage"})
"""Words of this command: a runner of such a name could not be checked by it."""
_SHARED = {
    ".github/workflows/ci.yml": "shared/ci.yml",
    ".gitignore": "shared/gitignore",
    "pyproject.toml": "shared/pyproject.toml",
    "src/$package/py.typed": "shared/py.typed",
}


@dataclass(frozen=True)
class _Kind:
    """What can be begun.

    Attributes:
        word: what it is called, and what its class's name ends with.
        title: what it is called where nothing else says of what.
        group: of its entry point.
        files: path in the new folder → path in ``templates/``.
    """

    word: str
    title: str
    group: str
    files: Mapping[str, str]


_KINDS = {
    "new-runner": _Kind(
        word="runner",
        title="task runner",
        group="triggers.runners",
        files={
            **_SHARED,
            "README.md": "runner/README.md",
            "src/$package/__init__.py": "runner/init.py",
            "tests/test_$module.py": "runner/test.py",
        },
    ),
    "new-storage": _Kind(
        word="storage",
        title="storage",
        group="triggers.storages",
        files={
            **_SHARED,
            "README.md": "storage/README.md",
            "src/$package/__init__.py": "storage/init.py",
            "src/$package/connections.py": "storage/connections.py",
            "src/$package/schema.py": "storage/schema.py",
            "src/$package/session.py": "storage/session.py",
            "src/$package/storage.py": "storage/storage.py",
            "tests/test_$module.py": "storage/test.py",
        },
    ),
}
COMMANDS = frozenset(_KINDS)
"""The first word of what :func:`write_distribution` understands."""


class _Refused(Exception):
    """Nothing was written; the message says why, and what to do."""


def write_distribution(words: list[str]) -> int:
    """Carry out ``new-runner NAME [FOLDER]`` or ``new-storage NAME [FOLDER]``, and print the next
    commands to type. Return the exit code: 0, or 2 where nothing was written."""
    command, *arguments = words
    kind = _KINDS[command]
    options = _parsed(command, kind, arguments)
    try:
        _check_name(kind, options.name)
        folder = Path(options.folder, _distribution(options.name))
        _write(folder, _rendered(kind, options.name))
    except _Refused as refused:
        print(f"triggers-conformance {command}: {refused}; nothing was written", file=sys.stderr)
        return 2
    print(f"The {kind.word} {options.name!r} is in {folder}. Next:\n")
    print(f"    cd {shlex.quote(str(folder))}\n    pip install -e '.[test]'\n    pytest")
    return 0


def templates() -> Iterator[str]:
    """Yield the path of each template, in ``templates/``."""
    for kind in _KINDS.values():
        yield from (f"{path}.template" for path in kind.files.values())


def _parsed(command: str, kind: _Kind, arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"triggers-conformance {command}",
        description=f"Write a distribution with a {kind.word} that keeps its contract, with its "
        "tests, a README and a workflow for CI.",
    )
    parser.add_argument("name", help=f"what the {kind.word} is called", metavar="NAME")
    parser.add_argument(
        "folder",
        nargs="?",
        default=".",
        help="in which the new folder triggers-NAME is made; this one unless given",
        metavar="FOLDER",
    )
    return parser.parse_args(arguments)


def _check_name(kind: _Kind, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _Refused(
            f"{name!r} cannot be the name of a {kind.word} and its package: expected small "
            "letters, digits, and single - or _ between them, a letter first, as my-queue"
        )
    if name in _COMMANDS:
        raise _Refused(f"{name!r} is a command of triggers-conformance; choose another name")
    for offer in installed(kind.group):
        if offer.name == name:
            raise _Refused(
                f"the {kind.word} {name!r} is installed already, by the distribution "
                f"{offer.distribution}; choose another name, or uninstall it"
            )
    if _module(name) in _OURS or find_spec(_package(name)) is not None:
        raise _Refused(f"the package {_package(name)!r} is there already; choose another name")


def _rendered(kind: _Kind, name: str) -> dict[str, str]:
    """Return path in the new folder → text."""
    values = _values(kind, name)
    folder = files(__package__) / "templates"
    return {
        Template(path).substitute(values): Template(
            (folder / f"{template}.template").read_text(encoding="utf-8")
        ).substitute(values)
        for path, template in kind.files.items()
    }


def _values(kind: _Kind, name: str) -> dict[str, str]:
    words = _module(name).split("_")
    # A name that says already what it is of, as custom_runner, does not say so twice.
    words += [kind.word] if words[-1] != kind.word else []
    distribution = _distribution(name)
    return {
        "name": name,
        "module": _module(name),
        "package": _package(name),
        "distribution": distribution,
        "class_name": "".join(word.capitalize() for word in words),
        "description": f"The {kind.title} {name} for triggers.",
        "group": kind.group,
        "series": SERIES,
        "application_id": f"0x{zlib.crc32(distribution.encode()) >> 1:08X}",
    }


def _module(name: str) -> str:
    return name.replace("-", "_")


def _package(name: str) -> str:
    return f"triggers_{_module(name)}"


def _distribution(name: str) -> str:
    return f"triggers-{name.replace('_', '-')}"


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Make the folder with these files, or nothing."""
    try:
        folder.mkdir()
    except FileExistsError:
        raise _Refused(f"{folder} exists already, and is left as it is") from None
    except OSError as error:
        raise _Refused(f"{folder} cannot be made: {error.strerror}") from error
    try:
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise _Refused(f"{folder} cannot be written: {error.strerror}") from error
        raise
