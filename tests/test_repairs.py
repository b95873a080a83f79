"""The example whose tasks are all Celery's: its whole test-suite runs with no broker, no worker and
no connection to anywhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "repairs_celery"
DEADLINE = 120  # seconds
WITHOUT_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "subprocess.Popen", "os.fork"):
        sys.stderr.write(f"refused: {event} {arguments}\\n")
        raise AssertionError(f"{event}, in a test-suite that needs none")

sys.addaudithook(refuse)
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider"]))
"""


def test_its_test_suite_needs_no_broker_and_no_worker():
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )
    tests = re.findall(r"^def test_", (EXAMPLE / "tests" / "test_repairs.py").read_text(), re.M)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(tests)} passed" in ran.stdout
    assert "refused" not in ran.stderr


def test_all_its_tasks_are_celerys():
    program = """
import repairs
from triggers_celery import CeleryTriggerTask
for step in repairs.STEPS.values():
    assert isinstance(repairs.app.tasks[step["run"]], CeleryTriggerTask), step
"""
    subprocess.run([sys.executable, "-c", program], cwd=EXAMPLE, check=True, timeout=DEADLINE)
