"""The command ``triggers-conformance``: runs the checks, and tells what they came to."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

import pytest

from triggers_conformance.report import Checked, Report, show
from triggers_conformance.rules import NOT_CHECKED, NOT_OFFERED, plain
from triggers_conformance.scaffold import COMMANDS, write_distribution

EPILOG = """\
A storage's URL has {folder} in it, which stands for a new folder, or {unique}, for a new name: each
check gets a storage of its own, that is empty. Put such a URL in quotes:
  triggers-conformance storage 'postgresql://localhost/test?schema={unique}'
"""


class Collector:
    """A pytest plugin that keeps what each rule came to, however many tests it has."""

    def __init__(self, progress: Progress) -> None:
        self.problems: list[str] = []
        self.capabilities: list[str] = []
        self._progress = progress
        self._rules: dict[str, Checked] = {}
        self._rule_of_test: dict[str, Checked] = {}

    @property
    def checks(self) -> list[Checked]:
        """The rules, in the order of their tests."""
        return list(self._rules.values())

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            rule = _rule_of(item)
            self._rule_of_test[item.nodeid] = self._rules.setdefault(rule.number, rule)
        self._progress.begin(len(session.items))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        rule = self._rule_of_test[nodeid]
        self._progress.look_at(f"{rule.number} {rule.title}")

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        declared: Any = getattr(getattr(item, "cls", None), "runner_class", None)
        self.capabilities = sorted(getattr(declared, "capabilities", ()))

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
            checked.found, checked.message = "broken", _said(report)
            checked.said = "\n".join(text for _, text in report.sections).strip()
        elif report.skipped:
            checked.found, checked.message = _left_out(_said(report).removeprefix("Skipped: "))


class Progress:
    """Shows on the terminal what is looked at; where there is none, nothing."""

    def __init__(self, bar: Any = None) -> None:
        self._bar = bar
        self._task: Any = None

    def begin(self, count: int) -> None:
        """There are so many checks."""
        if self._bar is not None:
            self._task = self._bar.add_task("", total=count)

    def look_at(self, what: str) -> None:
        """The next one begins."""
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=what)


@contextmanager
def progress_shown() -> Iterator[Progress]:
    """Show the progress on standard error until the body is left."""
    if find_spec("rich") is None:
        yield Progress()
        return
    from rich.console import Console  # noqa: PLC0415 - in the extra [cli]
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    # Its own descriptor: pytest takes the process' own for what the checks print.
    with open(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as terminal:
        console = Console(file=terminal)
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            yield Progress(bar)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 where no rule is broken, 1 where one is, 2 where
    nothing could be checked."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in COMMANDS:
        return write_distribution(words)
    options = _parsed(words)
    needs_extra = not (options.json or options.markdown)
    if needs_extra and find_spec("rich") is None:
        sys.exit("the table needs an extra: pip install 'triggers-conformance[cli]'; or --json")
    with progress_shown() as progress:
        collector = Collector(progress)
        _run_checks(collector, options)
    if not collector.checks:
        print("\n".join(collector.problems) or "there are no checks", file=sys.stderr)
        return 2
    report = Report(options.kind, options.name, collector.checks, collector.capabilities)
    if options.json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    elif options.markdown:
        print(report.to_markdown())
    else:
        show(report)
    return 0 if report.conforms else 1


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="triggers-conformance",
        usage="%(prog)s [options] RUNNER\n       %(prog)s [options] storage NAME_OR_URL"
        "\n       %(prog)s new-runner NAME [FOLDER]\n       %(prog)s new-storage NAME [FOLDER]",
        description="Check an installed task runner, or a storage, against its contract.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="+", help="what to check", metavar="RUNNER")
    parser.add_argument("--harness", metavar="MODULE:CLASS", help="your own subclass of checks")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        help="at most, for each single thing waited for; less, where tasks were seen to run fast",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write JSON in place of the table")
    form.add_argument(
        "--markdown", action="store_true", help="write Markdown, with a badge, for a README"
    )
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


def _rule_of(item: pytest.Item) -> Checked:
    """Return the rule of a check of a runner or of a storage."""
    function: Any = getattr(item, "function", None)
    if hasattr(function, "rule"):
        return Checked(function.rule.number, function.rule.title, function.rule.demands)
    number, _, demands = plain(function.__doc__ or "").partition(": ")
    title = function.__name__.removeprefix("test_").partition("_")[2].replace("_", " ")
    return Checked(number, title, demands)


def _left_out(reason: str) -> tuple[str, str]:
    """Return what was found, and the reason, of a check that was skipped."""
    if reason.startswith(NOT_CHECKED):
        return "not checked", reason.removeprefix(NOT_CHECKED)
    return "not offered", reason.removeprefix(NOT_OFFERED)


def _said(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(report.longrepr)
