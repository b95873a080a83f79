"""Checks what ``make release-check`` built: all, at one version, each wheel with its types."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

_VERSION = re.compile(r'^version = "(.+)"$', re.MULTILINE)
_NAME = re.compile(r'^name = "(.+)"$', re.MULTILINE)


def main(root: Path, built: Path) -> int:
    """Print what is wrong with what was built, a line each; return the exit code."""
    found = list(_problems(root, built))
    for line in found:
        print(line)
    return 1 if found else 0


def _problems(root: Path, built: Path) -> Iterator[str]:
    projects = sorted(root.glob("*/pyproject.toml"))
    versions = {_said(_NAME, path): _said(_VERSION, path) for path in projects}
    if len(set(versions.values())) != 1:
        yield f"the distributions have several versions: {versions}"
    for name, version in versions.items():
        stem = f"{name.replace('-', '_')}-{version}"
        if not (built / f"{stem}.tar.gz").is_file():
            yield f"{stem}.tar.gz is missing"
        if not (built / f"{stem}-py3-none-any.whl").is_file():
            yield f"{stem}-py3-none-any.whl is missing"
            continue
        yield from _problems_of_wheel(built / f"{stem}-py3-none-any.whl")


def _problems_of_wheel(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
    packages = {Path(name).parts[0] for name in files if ".dist-info/" not in name}
    if len(packages) != 1:
        yield f"{wheel.name} has more than its package: {', '.join(sorted(packages))}"
    for wanted in ("/py.typed", "/licenses/LICENSE"):
        if not any(name.endswith(wanted) for name in files):
            yield f"{wheel.name} has no {wanted.rpartition('/')[2]}"


def _said(pattern: re.Pattern[str], path: Path) -> str:
    found = pattern.search(path.read_text(encoding="utf-8"))
    return found.group(1) if found else ""


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1], Path(sys.argv[1])))
