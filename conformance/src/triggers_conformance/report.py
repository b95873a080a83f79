"""What a run of the checks came to, and how it is told: as a table, JSON or Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

GUIDE_OF_CAPABILITIES = "docs/capabilities.md"
FOUND = ("kept", "broken", "not offered", "not checked")
STYLES = {"kept": "green", "broken": "bold red", "not offered": "dim", "not checked": "yellow"}
COLOURS = {True: "brightgreen", False: "red"}
SAID_LINES = 20
SAME_CAUSE = 3
"""So many rules broken with the same last line are told as one."""


@dataclass
class Checked:
    """One rule, as it was found.

    Attributes:
        number: of the rule.
        title: the rule in a few words.
        demands: what the contract demands.
        found: one of :data:`FOUND`.
        message: what is to be said where it was not kept.
        said: what was logged or printed meanwhile, where it is broken.
    """

    number: str
    title: str
    demands: str
    found: str = "kept"
    message: str = ""
    said: str = ""


@dataclass
class Report:
    """All rules of one runner or storage.

    Attributes:
        kind: ``runner`` or ``storage``.
        name: the runner's, or the storage's URL.
        checks: the rules, in the order in which they were looked at.
        capabilities: what the runner declares.
    """

    kind: str
    name: str
    checks: list[Checked]
    capabilities: list[str] = field(default_factory=list)

    @property
    def conforms(self) -> bool:
        """Whether no rule is broken, and there was one to keep."""
        found = {check.found for check in self.checks}
        return "broken" not in found and "kept" in found

    def found(self, word: str) -> list[Checked]:
        """Return the rules of which that was found."""
        return [check for check in self.checks if check.found == word]

    @property
    def counts(self) -> str:
        """How often each was found: "55 kept, 0 broken, …"."""
        counts = Counter(check.found for check in self.checks)
        return ", ".join(f"{counts[word]} {word}" for word in FOUND)

    @property
    def verdict(self) -> str:
        """One line; what was not looked at is part of it."""
        verdict = "conforms" if self.conforms else "does not conform"
        unknown = [f"{check.number} ({check.title})" for check in self.found("not checked")]
        return f"{verdict}; {', '.join(unknown)} not checked" if unknown else verdict

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            self.kind: self.name,
            "conforms": self.conforms,
            "verdict": self.verdict,
            "capabilities": self.capabilities,
            "checks": [asdict(check) for check in self.checks],
        }

    def to_markdown(self) -> str:
        """Return a badge, the verdict, and the rules, for a README."""
        word = "conforms" if self.conforms else "does not conform"
        badge = quote(f"triggers--conformance-{word}-{COLOURS[self.conforms]}")
        offered = ", ".join(f"`{name}`" for name in self.capabilities) or "none"
        lines = [
            f"![triggers-conformance: {word}](https://img.shields.io/badge/{badge})",
            "",
            f"The {self.kind} `{self.name}` {self.verdict} ({self.counts}).",
            "",
            *([f"Capabilities: {offered}.", ""] if self.kind == "runner" else []),
            "| rule | the contract | found |",
            "| --- | --- | --- |",
            *(f"| {check.number} | {check.demands} | {check.found} |" for check in self.checks),
        ]
        return "\n".join(lines)


def causes(checks: list[Checked]) -> list[tuple[Checked, list[str]]]:
    """Return the broken rules to tell of, each with the numbers of those that are broken with the
    same last line, where there are several: they have one cause."""
    told: dict[str, tuple[Checked, list[str]]] = {}
    for check in checks:
        told.setdefault(_cause(check), (check, []))[1].append(check.number)
    each: list[tuple[Checked, list[str]]] = []
    for check in checks:
        first, numbers = told[_cause(check)]
        if len(numbers) < SAME_CAUSE:
            each.append((check, []))
        elif check is first:
            each.append((check, numbers[1:]))
    return each


def _cause(check: Checked) -> str:
    """Return the last line of what the runner did: there an error stands."""
    lines = [line for line in check.message.splitlines() if not line.startswith("  how to mend")]
    lines = [line for line in lines if not line.startswith("  read  ")]
    return lines[-1].partition("the runner ")[2] or lines[-1] if lines else check.number


def show(report: Report) -> None:
    """Print the table, what is broken, what would let the rest be checked, and the verdict."""
    from rich.console import Console  # noqa: PLC0415 - in the extra [cli]
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    title = f"the contract of the {report.kind} {report.name}"
    table = Table("rule", "the contract", "found", title=title)
    for check in report.checks:
        style = STYLES[check.found]
        left_out = check.found in {"not offered", "not checked"}
        said = f"\n{check.message.splitlines()[0]}" if left_out and check.message else ""
        demands = Text(check.demands).append(said, style=style)
        table.add_row(check.number, demands, Text(check.found, style=style))
    console.print(table)
    for check, others in causes(report.found("broken")):
        console.print(Text(f"\n{_told(check, others)}"), soft_wrap=True)
    for check in report.found("not checked"):
        if "\n" in check.message:
            console.print(Text(f"\n{check.number} is not checked: {check.message}"), soft_wrap=True)
    console.print(f"\n{report.counts}")
    console.print(Text(f"{report.name}: {report.verdict}"), soft_wrap=True)


def _told(check: Checked, others: list[str]) -> str:
    """Return the message; one that does not say which rule it is about, under its rule."""
    told = check.message
    if not told.startswith(check.number):
        told = f"{check.number} is broken: {check.demands}\n{told}"
    if others:
        told += f"\n  the same for   {', '.join(others)}"
    if check.said:
        told += "\n  meanwhile it logged or printed\n"
        told += "\n".join(f"    | {line}" for line in check.said.splitlines()[-SAID_LINES:])
    return told
