"""Imports the distributions before pytest can take their folders, of the same name, for them.

And prints, at the end, the rates that tests have measured on the way.
"""

import pytest

import triggers_celery  # noqa: F401
import triggers_core  # noqa: F401
import triggers_opentelemetry  # noqa: F401
import triggers_postgres  # noqa: F401
import triggers_threading  # noqa: F401
import triggers_web  # noqa: F401


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each rate that a test recorded as its property ``rate``."""
    for report in terminalreporter.getreports("passed"):
        for key, value in report.user_properties:
            if key == "rate":
                terminalreporter.write_line(value)
