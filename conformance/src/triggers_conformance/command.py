"""The command ``triggers-conformance``: runs the checks, and shows them as a table or JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import pytest

from triggers_conformance.rules import NOT_OFFERED, plain
from triggers_conformance.scaffold import COMMANDS, write_distribution

STYLES = {"kept": "green", "broken": "bold red", "not offered": "dim"}


@dataclass
class Checked:
    """One rule, as it was found.

    Attributes:
        number: of the rule.
        demands: what the contract demands.
        found: ``kept``, ``broken`` or ``not offered``.
        message: what is to be said where it was not kept.
    """

    number: str
    demands: str
    found: str
    message: str = ""


class Collector:
    """A pytest plugin that keeps what each rule came to, however many tests it has."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._rules: dict[str, Checked] = {}
        self._rule_of_test: dict[str, Checked] = {}

    @property
    def checks(self) -> list[Checked]:
        """The rules, in the order of their tests."""
        return list(self._rules.values())

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            number, demands = _rule_of(item)
            rule = self._rules.setdefault(number, Checked(number, demands, "kept"))
            self._rule_of_test[item.nodeid] = rule

    def pytest_exception_interact(
        self, call: pytest.CallInfo[object], report: pytest.CollectReport | pytest.TestReport
    ) -> None:
        if isinstance(report, pytest.CollectReport) and call.excinfo is not None:
            is_usage = call.excinfo.errisinstance(pytest.UsageError)
            self.problems.append(str(call.excinfo.value if is_usage else report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        checked = self._rule_of_test[report.nodeid]
        if checked.found == "broken":
            return
        if report.failed:
            checked.found = "broken"
            checked.message = _said(report)
        elif report.skipped:
            checked.found = "not offered"
            checked.message = _said(report).removeprefix("Skipped: ").removeprefix(NOT_OFFERED)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 where no rule is broken, 1 where one is, 2 where
    nothing could be checked."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in COMMANDS:
        return write_distribution(words)
    options = _parsed(words)
    if not options.json and find_spec("rich") is None:
        sys.exit("the table needs an extra: pip install 'triggers-conformance[cli]'; or --json")
    collector = Collector()
    _run_checks(collector, options)
    checks = collector.checks
    if not checks:
        print("\n".join(collector.problems) or "there are no checks", file=sys.stderr)
        return 2
    conforms = all(check.found != "broken" for check in checks)
    if options.json:
        report = {
            options.kind: options.name,
            "conforms": conforms,
            "checks": [asdict(check) for check in checks],
        }
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _show(f"the contract of the {options.kind} {options.name}", checks)
    return 0 if conforms else 1


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="triggers-conformance",
        usage="%(prog)s [options] RUNNER\n       %(prog)s [options] storage NAME_OR_URL",
        description="Check an installed task runner, or a storage, against its contract.",
    )
    parser.add_argument("names", nargs="+", help="what to check", metavar="RUNNER")
    parser.add_argument("--harness", metavar="MODULE:CLASS", help="your own subclass of checks")
    parser.add_argument("--timeout", metavar="SECONDS", help="for each single thing waited for")
    parser.add_argument("--json", action="store_true", help="write JSON in place of the table")
    parser.add_argument("--junit", metavar="FILE", help="write a JUnit report too")
    options = parser.parse_args(arguments)
    match options.names:
        case ["storage", name]:
            options.kind, options.name = "storage", name
        case [name] if name != "storage":
            options.kind, options.name = "runner", name
        case _:
            parser.error("expected the name of a runner, or 'storage' and a name or URL")
    return options


def _run_checks(collector: Collector, options: argparse.Namespace) -> None:
    """Run pytest on the package, out of reach of the configuration of the folder's project."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        pytest.main(
            [
                "--pyargs",
                "triggers_conformance.test_contract",
                f"--{options.kind}={options.name}",
                f"-c{os.devnull}",
                f"--rootdir={folder}",
                f"--basetemp={folder}/checks",
                "-pno:terminal",
                "-pno:cacheprovider",
                *([f"--harness={options.harness}"] if options.harness else []),
                *([f"--triggers-timeout={options.timeout}"] if options.timeout else []),
                *([f"--junitxml={os.path.abspath(options.junit)}"] if options.junit else []),
            ],
            plugins=[collector],
        )


def _rule_of(item: pytest.Item) -> tuple[str, str]:
    """Return (number, what it demands) of a check of a runner or of a storage."""
    function: Any = getattr(item, "function", None)
    if hasattr(function, "rule"):
        return function.rule.number, function.rule.demands
    number, _, demands = plain(function.__doc__ or "").partition(": ")
    return number, demands


def _said(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(report.longrepr)


def _titled(check: Checked) -> str:
    """Return the message; one that does not say which rule it is about, under its rule."""
    if check.message.startswith(check.number):
        return check.message
    return f"{check.number} is broken: {check.demands}\n{check.message}"


def _show(title: str, checks: list[Checked]) -> None:
    from rich.console import Console  # noqa: PLC0415 - in the extra [cli]
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    table = Table("rule", "the contract", "found", title=title)
    for check in checks:
        style = STYLES[check.found]
        said = f"\n{check.message}" if check.found == "not offered" else ""
        demands = Text(check.demands).append(said, style=style)
        table.add_row(check.number, demands, Text(check.found, style=style))
    console.print(table)
    for check in checks:
        if check.found == "broken":
            console.print(Text(f"\n{_titled(check)}"), soft_wrap=True)
    counts = {found: sum(check.found == found for check in checks) for found in STYLES}
    console.print(", ".join(f"{count} {found}" for found, count in counts.items()))
