"""What an author sees: one cause is told once, what was not looked at is not broken, and the
worker's own words stand beside what it did."""

import logging
import pickle
import queue
import threading
import time
from contextlib import contextmanager

import pytest

from triggers_conformance.bench import Bench
from triggers_conformance.report import Checked, Report, causes
from triggers_conformance.rules import checks_of
from triggers_conformance.runner import RunnerConformance
from triggers_conformance.waiting import Patience
from triggers_core import BaseTaskRunner, execute

logger = logging.getLogger(__name__)

FIRST = ("G1", "G2", "G3", "G4", "G5", "N1", "N2", "N3", "N5", "R1", "R2", "R30")


class Pool(BaseTaskRunner):
    """A correct runner, whose threads end with the interpreter."""

    name = "suspect"
    capabilities = frozenset({"volatile"})
    workers = 4

    def __init__(self):
        self._queue = queue.SimpleQueue()
        for _ in range(self.workers):
            threading.Thread(target=self._work, daemon=True).start()

    def run(self, manager, task_instance):
        self._queue.put((manager, task_instance))

    def _work(self):
        while True:
            self.execute(*self._queue.get())

    def execute(self, manager, task_instance):
        try:
            execute(manager, task_instance, resolve=self.resolve)
        except BaseException:
            logger.exception("it was not executed to its end")


def report_on(folder, runner_class, *numbers, timeout=1.0, **harness):
    """Return number → (what was found, what is said) of these checks, in the suite's order."""
    body = {"runner_name": "suspect", "runner_class": runner_class, "examples": 5, **harness}
    conformance = type("Conformance", (RunnerConformance,), body)
    order = [name for kind in reversed(conformance.__mro__) for name in vars(kind)]
    checks = sorted(checks_of(conformance), key=lambda check: order.index(check.__name__))
    found = {}
    with Bench(conformance, folder, timeout) as bench:
        for check in checks:
            if check.rule.number in numbers:
                found[check.rule.number] = outcome(check, conformance(), bench)
    return found


def outcome(check, conformance, bench):
    try:
        check(conformance, bench)
    except pytest.fail.Exception as failure:
        return "broken", str(failure)
    except pytest.skip.Exception as skipped:
        word, _, reason = str(skipped).partition(": ")
        return word, reason
    return "kept", ""


def numbers_of(report, word):
    return [number for number, (found, _) in report.items() if found == word]


class OtherName(Pool):
    name = "suspekt"


def test_a_wrong_name_breaks_one_rule_and_the_others_say_so(tmp_path):
    report = report_on(tmp_path, OtherName, *FIRST, "R9", "M1")

    assert numbers_of(report, "broken") == ["N3"]
    assert report["R9"] == ("not checked", "because of N3: without that this cannot be looked at")
    assert {"R1", "R2", "R9", "M1"} <= set(numbers_of(report, "not checked"))


class WantsArgument(Pool):
    def __init__(self, url):
        super().__init__()


class Pickles(Pool):
    def run(self, manager, task_instance):
        self._queue.put(pickle.dumps((manager, threading.Lock())))


class DoesNothing(Pool):
    def run(self, manager, task_instance):
        pass


class FirstManager(Pool):
    first = None

    def run(self, manager, task_instance):
        self.first = self.first or manager
        super().run(self.first, task_instance)


@pytest.mark.parametrize(
    ("number", "runner_class"),
    [("G4", WantsArgument), ("R1", Pickles), ("R2", DoesNothing), ("R30", FirstManager)],
)
def test_what_keeps_it_from_running_anything_is_told_once(tmp_path, number, runner_class):
    report = report_on(tmp_path, runner_class, *FIRST, "R9", "R23", "C1", "M1")

    assert numbers_of(report, "broken") == [number]
    assert report["R9"][1].startswith(f"because of {number}: ")
    assert {"R23", "M1"} <= set(numbers_of(report, "not checked"))


class DiesOfExits(Pool):
    workers = 1

    def execute(self, manager, task_instance):
        try:
            execute(manager, task_instance, resolve=self.resolve)
        except SystemExit:
            threading.Event().wait()  # as a thread that is gone, but without its traceback


def test_a_runner_that_a_check_has_killed_is_made_anew_for_the_others(tmp_path):
    report = report_on(tmp_path, DiesOfExits, "R2", "R13", "R14", "R15", "R18")

    assert numbers_of(report, "broken") == ["R14"]
    assert "it ran nothing, and was made anew for the other checks" in report["R14"][1]
    assert numbers_of(report, "kept") == ["R2", "R13", "R15", "R18"]


class WritesALog(Pool):
    log = None

    def execute(self, manager, task_instance):
        with self.log.open("a") as file:
            print("RunnerNotFound: no task runner 'suspect' is registered", file=file)


def test_what_the_worker_wrote_stands_with_the_failure(tmp_path):
    @contextmanager
    def worker(self, folder, environment):
        WritesALog.log = folder / "worker.log"
        WritesALog.log.write_text("it was started\n")
        yield

    report = report_on(tmp_path, WritesALog, "R2", worker=worker)

    found, said = report["R2"]
    assert found == "broken"
    assert "    | RunnerNotFound: no task runner 'suspect' is registered" in said


class DropsBeyondThree(Pool):
    workers = 2

    def run(self, manager, task_instance):
        if self._queue.qsize() < 3:
            super().run(manager, task_instance)


def test_a_rule_is_not_blamed_for_what_another_has_shown(tmp_path):
    report = report_on(tmp_path, DropsBeyondThree, "R2", "R23", "R24", "R25")

    assert "R23" in numbers_of(report, "broken")
    assert not {"R24", "R25"} & set(numbers_of(report, "broken"))


class WithTimers(Pool):
    capabilities = frozenset({"cooldown", "volatile"})

    def run(self, manager, task_instance):
        delay = max(task_instance.not_before - manager.storage.now(), 0)
        timer = threading.Timer(delay, super().run, (manager, task_instance))
        timer.daemon = True
        timer.start()

    def execute(self, manager, task_instance):
        time.sleep(0.02)
        super().execute(manager, task_instance)


def test_a_correct_runner_is_not_accused_by_a_short_timeout(tmp_path):
    """Its cooldowns are longer than the timeout, and much work takes longer as a whole."""
    report = report_on(tmp_path, WithTimers, "R2", "R16", "R23", "C5", timeout=2)

    assert numbers_of(report, "kept") == ["R2", "R23", "R16", "C5"]


def test_when_much_was_waited_for_in_vain_the_rest_is_not_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(Patience, "IN_VAIN", 0.5)

    report = report_on(tmp_path, DiesOfExits, "R2", "R14", "R15", "R18")

    assert numbers_of(report, "broken") == ["R14"]
    assert report["R15"] == (
        "not checked",
        "what is broken (R14) took the time; mend that first",
    )


def test_waiting_adapts_to_how_fast_tasks_are():
    patience = Patience(30.0)
    assert patience.seconds == 30.0

    patience.learn(0.01)
    assert patience.seconds == Patience.LEAST
    patience.learn(0.2)
    assert patience.seconds == pytest.approx(20.0)
    patience.learn(5.0)
    assert patience.seconds == 30.0

    patience.learn(0.01)
    patience.waited_in_vain(10.0)
    assert patience.seconds == Patience.LEAST_ONCE_BROKEN
    assert not patience.is_over
    patience.waited_in_vain(Patience.IN_VAIN)
    assert patience.is_over


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
