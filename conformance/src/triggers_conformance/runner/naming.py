"""A runner has one name, which the class, its instances and its entry point agree on."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any

from triggers_conformance.bench import CANNOT_BE_BUILT, Bench
from triggers_conformance.rules import broken, not_checked, rule
from triggers_core import InvalidName
from triggers_core.rules.names import check_name


class Naming:
    """Checks N1, N2, N3, N4, N5."""

    @rule("N1", mend='write name = "custom_runner" in the body of the class')
    def test_n1_it_has_a_name(self, triggers_bench: Bench) -> None:
        """The runner has a ``name``: a non-empty str, printable, without spaces at its ends."""
        name = _name_of(triggers_bench)
        try:
            check_name(name, "task runner")
        except InvalidName as error:
            broken(f"has the name {name!r}: {error}")

    @rule("N2", mend="make name a plain class attribute: no property, nothing set in __init__")
    def test_n2_the_name_can_be_read_on_the_class(self, triggers_bench: Bench) -> None:
        """``name`` is read on the class, without building a runner."""
        found = inspect.getattr_static(triggers_bench.runner_class, "name", None)
        if not isinstance(found, str):
            broken(f"has {found!r} as the class attribute 'name'")

    @rule("N3", mend="make the class's name and its entry point's name equal")
    def test_n3_the_name_is_the_one_registered(self, triggers_bench: Bench) -> None:
        """``name`` equals the name that the runner is registered as."""
        triggers_bench.check_unbroken("N1")
        name = _name_of(triggers_bench)
        if name != triggers_bench.runner_name:
            broken(f"is registered as {triggers_bench.runner_name!r}, but its name is {name!r}")

    @rule("N4", mend="rename the runner, or uninstall what else claims the name")
    def test_n4_the_name_is_unique(self, triggers_bench: Bench) -> None:
        """One installed distribution only claims the name."""
        if triggers_bench.conformance.runner_class is not None:
            not_checked("the runner is given in code: install it, and check it by its name")
        claims = [f"{found.distribution} ({found.value})" for found in triggers_bench.entry_points]
        if len(claims) != 1:
            broken(f"shares its name: it is claimed by {', '.join(claims) or 'nobody'}")

    @rule("N5", mend="make name a constant, the same for all instances of the class")
    def test_n5_the_name_is_the_same_on_every_instance(self, triggers_bench: Bench) -> None:
        """Every instance has the class's ``name``, at every reading."""
        triggers_bench.check_unbroken(*CANNOT_BE_BUILT)
        runners = [triggers_bench.runner_class() for _ in range(2)]
        names = [runner.name for runner in runners for _ in range(2)]
        if set(names) != {triggers_bench.runner_class.name}:
            broken(f"has the name {triggers_bench.runner_class.name!r}, its instances {names!r}")


def _name_of(bench: Bench) -> Any:
    """Return the name as an instance has it, or where none can be built, as the class has."""
    if not any(map(bench.is_broken, CANNOT_BE_BUILT)):
        with suppress(Exception):
            return bench.runner_class().name
    return getattr(bench.runner_class, "name", None)
