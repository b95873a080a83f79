"""The suite is tested: each faulty runner is caught by the check that is meant for it."""

import os
from textwrap import dedent

import pytest
from runner_mutants import MUTANTS, NAME, Sound, runner_called

from triggers_conformance.bench import Bench
from triggers_conformance.rules import checks_of, rules_of
from triggers_conformance.runner import RunnerConformance, conformance_of

TIMEOUT = 1.5
"""Seconds. A fault that shows as work that never ends costs each test as much."""
PATIENCE = 60.0


class MutantConformance(RunnerConformance):
    runner_name = NAME
    examples = 60

    @classmethod
    def as_written(cls):
        found = conformance_of_mutant.__name__
        return f"from {__name__} import {found}", f"{found}({cls.runner_class.__name__!r})"

    def refusing(self, runner):
        return runner.refusing()


def conformance_of_mutant(class_name):
    """Return the checks of a faulty runner, here and in processes that checks start."""
    runner_class = runner_called(class_name)
    return type("Conformance", (MutantConformance,), {"runner_class": runner_class})


def check_of(number):
    (check,) = [check for check in checks_of(RunnerConformance) if check.rule.number == number]
    return check


def failure_of(number, conformance, folder, timeout=TIMEOUT):
    """Run one check; return what it says of the runner, or None where it finds nothing."""
    with Bench(conformance, folder, timeout) as bench:
        try:
            check_of(number)(conformance(), bench)
        except pytest.fail.Exception as failure:
            return str(failure)
    return None


# What a faulty runner has left behind may be collected, and complain, while another is checked.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "mutant", MUTANTS, ids=lambda mutant: f"{mutant.number}-{mutant.runner_class.__name__}"
)
def test_a_faulty_runner_is_caught_by_the_check_meant_for_it(mutant, tmp_path, record_property):
    conformance = conformance_of_mutant(mutant.runner_class.__name__)

    failure = failure_of(mutant.number, conformance, tmp_path)

    assert failure is not None, f"{mutant.number} did not notice that {mutant.fault}"
    assert failure.startswith(f"{mutant.number} is broken by the task runner 'mutant'")
    assert f"docs/runners.md#{mutant.number.lower()}" in failure
    record_property("caught", (mutant.number, mutant.fault))


def test_every_rule_has_a_faulty_runner():
    caught = {mutant.number for mutant in MUTANTS} | {"N4", "G1"}
    assert caught == {rule.number for rule in rules_of(RunnerConformance)}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that makes a distribution with an entry point known to this process."""

    def make(distribution, value, source=""):
        folder = tmp_path / distribution
        info = folder / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[triggers.runners]\nsuspect = {value}\n")
        (folder / f"{value.partition(':')[0]}.py").write_text(dedent(source))
        monkeypatch.syspath_prepend(os.fspath(folder))

    return make


def test_an_entry_point_that_fails_to_import_is_caught(install, tmp_path, record_property):
    install("broken_runner", "broken_runner:Runner", "import no_such_engine")

    failure = failure_of("G1", conformance_of("suspect"), tmp_path)

    assert "cannot be imported: the entry point 'broken_runner:Runner' raised" in failure
    assert "No module named 'no_such_engine'" in failure
    record_property("caught", ("G1", "its entry point fails to import"))


def test_an_entry_point_that_leads_to_no_class_is_caught(install, tmp_path, record_property):
    install("object_runner", "object_runner:runner", "runner = object()")

    failure = failure_of("G1", conformance_of("suspect"), tmp_path)

    assert "not a class" in failure
    record_property("caught", ("G1", "its entry point leads to an object"))


def test_a_name_that_two_distributions_claim_is_caught(install, tmp_path, record_property):
    install("one_runner", "one_runner:Runner", "class Runner: name = 'suspect'")
    install("other_runner", "other_runner:Runner", "class Runner: name = 'suspect'")

    failure = failure_of("N4", conformance_of("suspect"), tmp_path)

    assert "one_runner (one_runner:Runner)" in failure
    assert "other_runner (other_runner:Runner)" in failure
    record_property("caught", ("N4", "another distribution claims its name"))


def test_a_failure_says_what_is_demanded_what_was_done_and_what_to_do(tmp_path):
    conformance = type("Conformance", (MutantConformance,), {"runner_class": MUTANTS_BY["R3"]})

    failure = failure_of("R3", conformance, tmp_path)

    assert failure == dedent(
        f"""\
        R3 is broken by the task runner 'mutant'
          the contract  `run` returns before the task ends, unless the runner declares `inline`.
          the runner    did not return from fire('go') within {TIMEOUT:g} s
          how to mend   in run(), hand the work to your engine and return; or declare 'inline'
          read          docs/runners.md#r3"""
    )


def test_a_runner_that_is_not_installed_is_told_so(tmp_path):
    failure = failure_of("R2", conformance_of("no-such-runner"), tmp_path)

    assert "no task runner 'no-such-runner' is registered" in failure
    assert "install the distribution that registers it" in failure


def test_what_is_not_declared_is_not_offered_rather_than_passed(tmp_path):
    conformance = type("Conformance", (MutantConformance,), {"runner_class": Sound})

    with (
        Bench(conformance, tmp_path, PATIENCE) as bench,
        pytest.raises(pytest.skip.Exception) as skipped,
    ):
        check_of("C1")(conformance(), bench)

    assert str(skipped.value) == "not offered: the runner does not declare the capability 'join'"


MUTANTS_BY = {mutant.number: mutant.runner_class for mutant in reversed(MUTANTS)}
