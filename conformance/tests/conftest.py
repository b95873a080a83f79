"""Makes the modules beside the tests importable, here and in worker processes; prints the table."""

import os
import sys
from pathlib import Path

HERE = str(Path(__file__).parent)

sys.path.insert(0, HERE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH"))))


def pytest_terminal_summary(terminalreporter):
    """Print which check caught which faulty runner."""
    rows = [
        value
        for report in terminalreporter.getreports("passed")
        for key, value in report.user_properties
        if key == "caught"
    ]
    if rows:
        terminalreporter.section(f"{len(rows)} faulty runners, each with the check that caught it")
    for number, fault in rows:
        terminalreporter.write_line(f"{number:>4}  {fault}")
