"""A tree of findings as the lines of a list within lists, in the order of reading."""

from __future__ import annotations

from dataclasses import dataclass

from triggers_core.insight.diagnosis import Finding


@dataclass(frozen=True)
class Line:
    """A finding in a list within lists: whether it opens one, and how many it ends."""

    finding: Finding
    opens: bool
    closes: int


def lines_of(finding: Finding) -> list[Line]:
    """Return the findings in the order of reading; a chain of any length is no recursion."""
    lines: list[Line] = []
    stack = [(finding, 0)]
    while stack:
        each, ends = stack.pop()
        because = each.because
        lines.append(Line(each, bool(because), 0 if because else ends))
        for index, child in reversed(list(enumerate(because, start=1))):
            stack.append((child, ends + 1 if index == len(because) else 0))
    return lines
