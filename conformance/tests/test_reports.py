"""What an author sees: one cause is told once, what was not looked at is not broken, and the
worker's own words stand beside what it did."""

import json
import os
import subprocess
import sys
from textwrap import dedent

import pytest

from triggers_conformance.report import Checked, Report, causes

DEADLINE = 300
HARNESS = """
import logging, os, pickle, queue, threading, time
from contextlib import contextmanager
from triggers_conformance.runner import RunnerConformance
from triggers_core import BaseTaskRunner, execute


class Pool(BaseTaskRunner):
    name = "suspect"
    capabilities = frozenset({{"volatile"}})
    workers = 4

    def __init__(self):
        self._queue = queue.SimpleQueue()
        for _ in range(self.workers):
            threading.Thread(target=self._work, daemon=True).start()
        os.register_at_fork(after_in_child=lambda: Pool.__init__(self))

    def run(self, manager, task_instance):
        self._queue.put((manager, task_instance))

    def _work(self):
        while True:
            self.execute(*self._queue.get())

    def execute(self, manager, task_instance):
        try:
            execute(manager, task_instance, resolve=self.resolve)
        except BaseException:
            logging.exception("it was not executed to its end")

{runner}

class Conformance(RunnerConformance):
    runner_name = "suspect"
    runner_class = Suspect
    examples = 5
{harness}
"""


def report_on(folder, runner, harness="", timeout=2):
    """Return what the command writes as JSON of a faulty runner, by its default but for time."""
    body = HARNESS.format(runner=dedent(runner), harness=harness)
    (folder / "suspects.py").write_text(body)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "triggers_conformance.command", "suspect", "--json"),
            *("--harness", "suspects:Conformance", "--timeout", str(timeout)),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout)


def found(report, word):
    return {check["number"]: check for check in report["checks"] if check["found"] == word}


def test_a_wrong_name_breaks_one_rule_and_the_others_say_so(tmp_path):
    report = report_on(tmp_path, "class Suspect(Pool):\n    name = 'suspekt'")

    assert list(found(report, "broken")) == ["N3"]
    reasons = {check["message"] for check in found(report, "not checked").values()}
    assert "because of N3: without that this cannot be looked at" in reasons
    assert report["verdict"].startswith("does not conform; ")


@pytest.mark.parametrize(
    ("number", "runner"),
    {
        "G4": """
            class Suspect(Pool):
                def __init__(self, url):
                    super().__init__()
            """,
        "R1": """
            class Suspect(Pool):
                def run(self, manager, task_instance):
                    self._queue.put(pickle.dumps(manager))
            """,
        "R2": """
            class Suspect(Pool):
                def run(self, manager, task_instance):
                    pass
            """,
        "R30": """
            class Suspect(Pool):
                first = None
                def run(self, manager, task_instance):
                    self.first = self.first or manager
                    super().run(self.first, task_instance)
            """,
    }.items(),
)
def test_what_keeps_it_from_running_anything_is_told_once(tmp_path, number, runner):
    report = report_on(tmp_path, runner)

    assert list(found(report, "broken")) == [number]
    assert "M1" in found(report, "not checked")


def test_a_runner_that_a_check_has_killed_is_made_anew_for_the_others(tmp_path):
    runner = """
        class Suspect(Pool):
            workers = 1
            def execute(self, manager, task_instance):
                try:
                    execute(manager, task_instance, resolve=self.resolve)
                except Exception:
                    logging.exception("it was not executed to its end")
        """
    report = report_on(tmp_path, runner)

    assert list(found(report, "broken")) == ["R14", "R44"]
    message = found(report, "broken")["R14"]["message"]
    assert "it ran nothing, and was made anew for the other checks" in message
    assert {"R15", "R18", "R23"} <= set(found(report, "kept"))


def test_what_the_worker_wrote_and_what_was_logged_stand_with_the_failure(tmp_path):
    runner = """
        class Suspect(Pool):
            def execute(self, manager, task_instance):
                with open(log, "a") as file:
                    print("RunnerNotFound: no task runner 'suspect' is registered", file=file)
                logging.error("nothing was executed")
        """
    harness = """
        @contextmanager
        def worker(self, folder, environment):
            global log
            log = folder / "worker.log"
            yield
    """
    report = report_on(tmp_path, runner, indented(harness))

    (check,) = found(report, "broken").values()
    assert "| RunnerNotFound: no task runner 'suspect' is registered" in check["message"]
    assert "nothing was executed" in check["said"]


def test_a_rule_is_not_blamed_for_what_another_has_shown(tmp_path):
    runner = """
        class Suspect(Pool):
            workers = 2
            def run(self, manager, task_instance):
                if self._queue.qsize() < 3:
                    super().run(manager, task_instance)
        """
    report = report_on(tmp_path, runner)

    assert "R23" in found(report, "broken")
    assert not {"R24", "R25"} & set(found(report, "broken"))


def test_a_correct_runner_is_not_accused_by_a_short_timeout(tmp_path):
    """Its cooldowns are longer than the timeout, and all of its work takes longer."""
    runner = """
        class Suspect(Pool):
            capabilities = frozenset({"cooldown", "volatile"})
            def run(self, manager, task_instance):
                delay = max(task_instance.not_before - manager.storage.now(), 0)
                timer = threading.Timer(delay, super().run, (manager, task_instance))
                timer.daemon = True
                timer.start()
            def execute(self, manager, task_instance):
                time.sleep(0.02)
                super().execute(manager, task_instance)
        """
    report = report_on(tmp_path, runner, timeout=3)

    assert list(found(report, "broken")) == []
    assert "C5" in found(report, "kept")
    assert report["conforms"]


def test_rules_that_are_broken_in_one_way_are_told_once():
    said = "{0} is broken by the task runner 'x'\n  the runner    raised\nPicklingError: a lock"
    broken = [Checked(n, n, n, "broken", said.format(n)) for n in ("R3", "R7", "R9")]
    other = Checked("R5", "R5", "R5", "broken", "R5 is broken\n  the runner    ran late")

    told = [(check.number, others) for check, others in causes([*broken, other])]

    assert told == [("R3", ["R7", "R9"]), ("R5", [])]


def test_a_report_without_a_rule_that_was_kept_does_not_conform():
    nothing = Report("runner", "x", [Checked("R2", "it runs", "It runs.", "not checked")])

    assert not nothing.conforms
    assert nothing.verdict == "does not conform; R2 (it runs) not checked"


def indented(text):
    return "".join(f"    {line}\n" for line in dedent(text).splitlines())
