"""Imports the distributions before pytest can take their folders, of the same name, for them.

And what tests of several distributions share: the logs of permits that they replay, and the rates
that they measure on the way, printed at the end.
"""

import os
from pathlib import Path

import pytest

import triggers_celery  # noqa: F401
import triggers_core  # noqa: F401
import triggers_opentelemetry  # noqa: F401
import triggers_postgres  # noqa: F401
import triggers_threading  # noqa: F401
import triggers_web  # noqa: F401

ROOT = Path(__file__).parent
SHARED = Path(os.environ.get("TRIGGERS_SHARED", ROOT.parent / "shared"))
"""Where a municipality's real log may be: it is too large for the repository."""


def permit_logs() -> list[Path]:
    """Return the folders that hold a log of permits, the small one of these tests first."""
    logs = [ROOT / "tests" / "permits", SHARED / "data"]
    return [folder for folder in logs if (folder / "permits.csv").exists()]


@pytest.fixture(scope="module", params=permit_logs(), ids=lambda folder: folder.name)
def permit_log(request: pytest.FixtureRequest) -> Path:
    """Return a folder with ``permits.csv``, ``permits.json`` and ``permits.expected.json``."""
    folder: Path = request.param
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each rate that a test recorded as its property ``rate``."""
    for report in terminalreporter.getreports("passed"):
        for key, value in report.user_properties:
            if key == "rate":
                terminalreporter.write_line(value)
