"""The demo on Celery, run as its reader runs it: with a worker process that comes and goes."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
DEADLINE = 120
FINISHED = {
    "assess#0": ("photo", "verdict the hull is sound"),
    "assess#1": ("photo", "verdict the stove is sound"),
    "assess#2": ("photo", "verdict the cat is asleep"),
    "policy#0": ("signature, quote", "insured for € 321 a year"),
    "quote#0": ("berth, boat, person", "euros a year 321"),
    "remind#0": ("berth, boat, evening", "missing person"),
}
"""Step → what it took and its result, when the person comes in after the evening."""


def hear_interrupts():
    """A shell has what it runs in the background ignore them, the tests and their children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def demo(folder, seed, **environment):
    """Start the demo; give its process, and see to it that it ends."""
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "demo_celery.py", str(seed)],
        cwd=EXAMPLES / "questionnaire_celery",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=hear_interrupts,  # noqa: PLW1509 - it takes no lock
        env={
            "PYTHONPATH": str(EXAMPLES / "questionnaire"),
            "PYTHONUTF8": "1",
            "COLUMNS": "120",
            "TMPDIR": str(folder),
            **environment,
        },
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def worker_of(process, folder):
    """Return the process id of the demo's worker, once it is ready."""
    give_up = time.monotonic() + DEADLINE
    while not (found := [f for f in folder.glob("*/ready") if f.read_text()]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up, "the worker did not become ready"
        time.sleep(0.02)
    return int(found[0].read_text())


def assert_nothing_is_left(folder, worker):
    assert list(folder.iterdir()) == [], "the demo left files behind"
    give_up = time.monotonic() + DEADLINE
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < give_up:  # what was killed is there until it is reaped
            os.killpg(worker, 0)
            time.sleep(0.02)


def final_table(output):
    """Return step → (status, what it took, result)."""
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in output.splitlines()
        if line.startswith("│")
    ]
    return {step: (status.split()[-1], took, result) for step, status, took, result in cells}


def test_the_worker_does_every_step_once_and_ends(tmp_path):
    with demo(tmp_path, 8) as process:
        worker = worker_of(process, tmp_path)
        output, errors = process.communicate(timeout=DEADLINE)

    assert (process.returncode, errors) == (0, "")
    assert final_table(output) == {step: ("finished", *row) for step, row in FINISHED.items()}
    assert_nothing_is_left(tmp_path, worker)

    told = re.findall(r"^ *\d+\.\d\d s  (\w+) .*quote#0 (\w+)", output, re.MULTILINE)
    assert told == [
        ("application", "unstarted"),
        ("application", "scheduled"),
        ("worker", "running"),
        ("worker", "finished"),
    ]
    assert re.search(r"worker +▶ quote → policy#0  euros a year 321", output)


def test_when_its_worker_is_killed_the_demo_fails_and_leaves_nothing(tmp_path):
    with demo(tmp_path, 8) as process:
        worker = worker_of(process, tmp_path)
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=DEADLINE)

    assert process.returncode == 1
    assert "the worker ended with -9; its log:" in errors
    assert_nothing_is_left(tmp_path, worker)


def test_when_its_worker_does_not_start_the_demo_says_why(tmp_path):
    with demo(tmp_path, 8, LOADER="no_such_loader:Loader") as process:
        _, errors = process.communicate(timeout=DEADLINE)

    assert process.returncode == 1
    assert "no_such_loader" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_stopped_stops_its_worker(tmp_path):
    folders = {how: tmp_path / how.name for how in (signal.SIGINT, signal.SIGTERM)}
    for folder in folders.values():
        folder.mkdir()
    with ExitStack() as stack:
        demos = {how: stack.enter_context(demo(folder, 8)) for how, folder in folders.items()}
        workers = {}
        for how, process in demos.items():
            workers[how] = worker_of(process, folders[how])
            process.send_signal(how)
        for process in demos.values():
            process.communicate(timeout=DEADLINE)

    for how, process in demos.items():
        assert process.returncode != 0
        assert_nothing_is_left(folders[how], workers[how])
