"""The pytest plugin: the options, the bench that the checks stand on, and the summary.

Loaded in every pytest run where the distribution is installed, so it imports nothing of it
before something is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from triggers_conformance.bench import Bench

HOW_TO_RUN = "pytest --pyargs triggers_conformance"


@dataclass(frozen=True)
class Choice:
    """What the command line chose to check; ``folder`` is where it was called."""

    runner: str | None = None
    storage: str | None = None
    harness: str | None = None
    folder: str = "."


chosen = Choice()

pytest.register_assert_rewrite("triggers_conformance.storage")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the three ways in."""
    group = parser.getgroup("triggers-conformance")
    group.addoption("--runner", metavar="NAME", help=f"the task runner that `{HOW_TO_RUN}` checks")
    group.addoption(
        "--harness",
        metavar="MODULE:CLASS",
        help="a subclass of RunnerConformance or StorageConformance with hooks of its own",
    )
    group.addoption(
        "--storage", metavar="NAME_OR_URL", help=f"the storage that `{HOW_TO_RUN}` checks"
    )
    group.addoption(
        "--triggers-timeout",
        type=float,
        metavar="SECONDS",
        help="how long a check waits at most for each single thing (default: the class's own, 30)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the options for the module of checks that ``--pyargs`` collects."""
    global chosen  # noqa: PLW0603 - pytest gives a test module no config
    chosen = Choice(
        runner=config.getoption("--runner"),
        storage=config.getoption("--storage"),
        harness=config.getoption("--harness"),
        folder=str(config.invocation_params.dir),
    )


@pytest.fixture(scope="class")
def triggers_bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """The bench of the class's runner, with its store and worker."""
    from triggers_conformance.bench import Bench  # noqa: PLC0415 - see the module's docstring

    folder = tmp_path_factory.mktemp("conformance")
    timeout = request.config.getoption("--triggers-timeout")
    with Bench(request.cls, folder, timeout) as bench:
        yield bench


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """After ``--runner`` or ``--storage``, say in one line how it went."""
    name = config.getoption("--runner") or config.getoption("--storage")
    if not name:
        return
    stats = terminalreporter.stats
    skipped = [str(report.longrepr) for report in stats.get("skipped", [])]
    not_checked = sum("not checked: " in reason for reason in skipped)
    counts = {
        "kept": len(stats.get("passed", [])),
        "broken": len(stats.get("failed", [])),
        "not offered": len(skipped) - not_checked,
        "not checked": not_checked,
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    terminalreporter.write_line(f"contract of {name}: {told}")
