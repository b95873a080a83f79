"""Checks files for what no review should have to look for: line ends, conflict marks, size, and
what a merge left behind."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

MOST_BYTES = 500_000
LEFT_BEHIND = frozenset({".orig", ".rej"})
_CONFLICT = re.compile(rb"^(<{7}|>{7}) ", re.MULTILINE)
_SPACE_AT_AN_END = re.compile(rb"[ \t]+$", re.MULTILINE)


def main(paths: Iterable[Path]) -> int:
    """Print what is wrong with the files, a line each; return the exit code."""
    found = [f"{path}: {problem}" for path in paths for problem in _problems(path)]
    for line in found:
        print(line)
    return 1 if found else 0


def _problems(path: Path) -> Iterator[str]:
    if path.suffix in LEFT_BEHIND:
        yield "was left behind by a merge"
    content = path.read_bytes()
    if len(content) > MOST_BYTES:
        yield f"has {len(content)} bytes, and {MOST_BYTES} are the most"
    if b"\0" in content:
        return  # no text
    if b"\r\n" in content:
        yield "has line ends of Windows"
    if content and not content.endswith(b"\n"):
        yield "does not end with a line end"
    if _SPACE_AT_AN_END.search(content):
        yield "has spaces at the end of a line"
    if _CONFLICT.search(content):
        yield "has the marks of a merge conflict"


if __name__ == "__main__":
    sys.exit(main(map(Path, sys.argv[1:])))
