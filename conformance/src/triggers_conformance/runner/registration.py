"""What is registered is a class that can be built, and that says what it offers."""

from __future__ import annotations

from triggers_conformance.bench import Bench
from triggers_conformance.rules import broken, rule
from triggers_core import BaseTaskRunner

BUILT_WITHIN = 3.0
"""Seconds; who waits for an engine takes longer at some time."""
CAPABILITIES = frozenset({"join", "cooldown", "remote", "inline", "volatile"})


class Registration:
    """Checks G1, G2, G3, G4, G5."""

    @rule("G1", mend="have the entry point lead to a class that can be imported anywhere")
    def test_g1_it_can_be_imported(self, triggers_bench: Bench) -> None:
        """What is registered can be imported, and is a class."""
        found = triggers_bench.runner_class
        if not isinstance(found, type):
            broken(f"is {found!r}, not a class")

    @rule("G2", mend="subclass triggers_core.BaseTaskRunner")
    def test_g2_it_is_a_task_runner(self, triggers_bench: Bench) -> None:
        """The class is a subclass of ``BaseTaskRunner``."""
        triggers_bench.check_unbroken("G1")
        found = triggers_bench.runner_class
        if not (isinstance(found, type) and issubclass(found, BaseTaskRunner)):
            broken(f"is {found!r}, which is no subclass of BaseTaskRunner")

    @rule("G3", mend="define run(self, manager, task_instance); leave nothing abstract")
    def test_g3_nothing_in_it_is_abstract(self, triggers_bench: Bench) -> None:
        """The class defines ``run`` and everything else that is abstract."""
        triggers_bench.check_unbroken("G2")
        left: frozenset[str] = getattr(
            triggers_bench.runner_class, "__abstractmethods__", frozenset()
        )
        if left:
            broken(f"does not define {', '.join(sorted(left))}")

    @rule(
        "G4",
        mend="give each argument of __init__ a default, and connect to the engine at first use",
    )
    def test_g4_it_is_built_without_arguments(self, triggers_bench: Bench) -> None:
        """The framework builds the runner without arguments."""
        triggers_bench.check_unbroken("G1", "G2", "G3")
        build = triggers_bench.runner_class
        triggers_bench.in_time(build, "its construction", at_most=BUILT_WITHIN)

    @rule(
        "G5",
        mend=f"declare a frozenset of any of {', '.join(sorted(CAPABILITIES))}; leave "
        "out what is not offered",
    )
    def test_g5_its_capabilities_are_declared(self, triggers_bench: Bench) -> None:
        """``capabilities`` is a frozenset of words that the contract knows."""
        declared = getattr(triggers_bench.runner_class, "capabilities", None)
        if not isinstance(declared, (set, frozenset)):
            broken(f"declares {declared!r}, which is no frozenset")
        unknown = declared - CAPABILITIES
        if unknown:
            broken(f"declares {', '.join(map(repr, sorted(map(str, unknown))))}, unknown here")
        if {"inline", "remote"} <= declared:
            broken("declares both 'inline' and 'remote', which exclude each other")
