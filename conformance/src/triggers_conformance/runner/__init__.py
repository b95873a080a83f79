"""The contract of a task runner, as numbered checks that its author runs by a subclass::

    class TestCustomRunner(RunnerConformance):
        runner_name = "custom_runner"

Groups: N name, G registration, R run, C capabilities (each binds who declares it), M a model.
They stand in a file for each part of the contract.
"""

from __future__ import annotations

from triggers_conformance.bench import Bench
from triggers_conformance.harness import RunnerHarness
from triggers_conformance.machine import check_against_model
from triggers_conformance.rules import rule
from triggers_conformance.runner.acceptance import Acceptance
from triggers_conformance.runner.callers import Callers
from triggers_conformance.runner.closing import Closing
from triggers_conformance.runner.cooldown import Cooldown
from triggers_conformance.runner.dispatch import Dispatch
from triggers_conformance.runner.duplicates import Duplicates
from triggers_conformance.runner.endings import Endings
from triggers_conformance.runner.execution import Execution
from triggers_conformance.runner.harm import Harm
from triggers_conformance.runner.leftovers import Leftovers
from triggers_conformance.runner.lifecycle import Lifecycle
from triggers_conformance.runner.load import Load
from triggers_conformance.runner.managers import Managers
from triggers_conformance.runner.naming import Naming
from triggers_conformance.runner.nesting import Nesting
from triggers_conformance.runner.places import Places
from triggers_conformance.runner.registration import Registration
from triggers_conformance.runner.turns import Turns
from triggers_conformance.runner.waiting import Waiting


# Pytest runs the checks of the last one first.
class RunnerConformance(
    Places,
    Waiting,
    Closing,
    Lifecycle,
    Leftovers,
    Turns,
    Load,
    Managers,
    Duplicates,
    Cooldown,
    Nesting,
    Harm,
    Endings,
    Execution,
    Callers,
    Dispatch,
    Acceptance,
    Naming,
    Registration,
    RunnerHarness,
):
    """The checks of one runner. Subclass it, name the runner, and pytest collects them.

    What an engine with its own worker, broker or application overrides is in
    :class:`~triggers_conformance.harness.RunnerHarness`.
    """

    @rule("M1", mend="run the script above; the rules R say what each step demands")
    def test_m1_random_sessions_end_as_the_rules_say(self, triggers_bench: Bench) -> None:
        """Any configuration and any triggers end as the rules of the framework say."""
        triggers_bench.check_nothing_broken()
        check_against_model(triggers_bench, self.examples)


def conformance_of(name: str) -> type[RunnerConformance]:
    """Return the checks of an installed runner that needs no worker of its own."""

    class TestRunner(RunnerConformance):
        runner_name = name

        @classmethod
        def as_written(cls) -> tuple[str, str]:
            return f"from {__name__} import {conformance_of.__name__}", f"conformance_of({name!r})"

    return TestRunner
