"""What a check is: one numbered rule of the contract, and a failure that says how to keep it."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

import pytest

GUIDE = "docs/runners.md"
NOT_OFFERED = "not offered: "
"""Begins the reason of a check that was left out, so that reports can tell it from a pass."""

GROUPS = "NGRCM"
"""The letters of rules' numbers, in the order in which a report has them."""


class Tried(Protocol):
    """The bench that a check stands on, as far as a rule knows it."""

    runner_name: str

    @property
    def capabilities(self) -> frozenset[str]: ...


Bench = TypeVar("Bench", bound=Tried)
Check = Callable[[Any, Bench], None]


class Broken(Exception):
    """A rule is broken; the text says what the runner did."""


class NotOffered(Exception):
    """A check does not apply to this runner; the text says why."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        number: a letter for the group and a number: ``"R3"``.
        demands: what the contract demands, in one sentence.
        mend: how to mend a runner that breaks it.
        needs: the capability that a runner must declare for the rule to bind it, or None.
    """

    number: str
    demands: str
    mend: str
    needs: str | None = None

    def failure(self, runner_name: str, did: str) -> str:
        """Return what is said to the author of a runner that breaks the rule."""
        return (
            f"{self.number} is broken by the task runner {runner_name!r}\n"
            f"  the contract  {self.demands}\n"
            f"  the runner    {did}\n"
            f"  how to mend   {self.mend}\n"
            f"  read          {GUIDE}#{self.number.lower()}"
        )


def broken(did: str) -> NoReturn:
    """End a check: the rule is broken. ``did`` goes on from "the runner"."""
    raise Broken(did)


def not_offered(reason: str) -> NoReturn:
    """End a check that does not apply."""
    raise NotOffered(reason)


def rule(
    number: str, *, mend: str, needs: str | None = None
) -> Callable[[Check[Bench]], Check[Bench]]:
    """Make a check of a method; the first sentence of its docstring is what the rule demands."""

    def decorate(check: Check[Bench]) -> Check[Bench]:
        the_rule = Rule(number, _first_paragraph(check.__doc__ or ""), mend, needs)

        @functools.wraps(check)
        def checked(self: Any, triggers_bench: Bench) -> None:
            try:
                if needs is not None and needs not in triggers_bench.capabilities:
                    not_offered(f"the runner does not declare the capability {needs!r}")
                check(self, triggers_bench)
            except NotOffered as reason:
                pytest.skip(f"{NOT_OFFERED}{reason}")
            except Broken as error:
                did = str(error)
            except Exception as error:
                did = f"raised\n{''.join(traceback.format_exception(error))}"
            else:
                return
            pytest.fail(the_rule.failure(triggers_bench.runner_name, did), pytrace=False)

        checked.rule = the_rule  # type: ignore[attr-defined]
        return checked

    return decorate


def rules_of(conformance: type) -> list[Rule]:
    """Return the rules of a class of checks, by group and number."""
    rules = [check.rule for check in checks_of(conformance)]
    return sorted(rules, key=lambda rule: (GROUPS.index(rule.number[0]), int(rule.number[1:])))


def checks_of(conformance: type) -> list[Any]:
    """Return the checks of a class; the attribute ``rule`` of each is its rule."""
    members = (getattr(conformance, name) for name in dir(conformance))
    return [member for member in members if isinstance(getattr(member, "rule", None), Rule)]


def _first_paragraph(text: str) -> str:
    return plain(text.split("\n\n", maxsplit=1)[0])


def plain(text: str) -> str:
    """Return a docstring's text as one line for people to read."""
    return " ".join(text.split()).replace("``", "`")
