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
NOT_CHECKED = "not checked: "
"""Each begins the reason of a check that was left out: the first, where the runner is not bound by
the rule; the second, where it is, and could not be looked at."""

GROUPS = "NGRCM"
"""The letters of rules' numbers, in the order in which a report has them."""


class Tried(Protocol):
    """The bench that a check stands on, as far as a rule knows it."""

    runner_name: str

    @property
    def capabilities(self) -> frozenset[str]: ...

    def begin(self, rule: Rule) -> None:
        """Have all that the check needs; Broken or NotChecked where it cannot be had."""

    def is_broken(self, number: str) -> bool:
        """Return whether a check before found that rule broken."""

    def look_after(self, rule: Rule) -> str:
        """Have a runner that lives for the checks after one that found it broken; return what is
        to be said of that."""


Bench = TypeVar("Bench", bound=Tried)
Check = Callable[[Any, Bench], None]


class Broken(Exception):
    """A rule is broken; the text says what the runner did."""


class NotOffered(Exception):
    """A check does not apply to this runner; the text says why."""


class NotChecked(Exception):
    """A check could not look at what it is about; the text says why, and what would let it."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        number: a letter for the group and a number: ``"R3"``.
        demands: what the contract demands, in one sentence.
        mend: how to mend a runner that breaks it.
        title: the rule in a few words.
        needs: the capability that a runner must declare for the rule to bind it, or None.
        presumes: a rule without which the check cannot tell what is wrong, or None.
    """

    number: str
    demands: str
    mend: str
    title: str
    needs: str | None = None
    presumes: str | None = None

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


def not_checked(reason: str) -> NoReturn:
    """End a check that could not be made."""
    raise NotChecked(reason)


def because_of(number: str, what: str) -> NoReturn:
    """End a check that could not be made as another rule is broken."""
    not_checked(f"because of {number}: {what}")


def rule(
    number: str, *, mend: str, needs: str | None = None, presumes: str | None = None
) -> Callable[[Check[Bench]], Check[Bench]]:
    """Make a check of a method; the first sentence of its docstring is what the rule demands."""

    def decorate(check: Check[Bench]) -> Check[Bench]:
        demands = _first_paragraph(check.__doc__ or "")
        title = check.__name__.removeprefix(f"test_{number.lower()}_").replace("_", " ")
        the_rule = Rule(number, demands, mend, title, needs, presumes)

        @functools.wraps(check)
        def checked(self: Any, triggers_bench: Bench) -> None:
            try:
                _bind(the_rule, triggers_bench)
                check(self, triggers_bench)
            except NotOffered as reason:
                pytest.skip(f"{NOT_OFFERED}{reason}")
            except NotChecked as reason:
                pytest.skip(f"{NOT_CHECKED}{reason}")
            except Broken as error:
                did = str(error)
            except Exception as error:
                did = f"raised\n{''.join(traceback.format_exception(error))}"
            else:
                return
            _fail(the_rule, triggers_bench, did)

        checked.rule = the_rule  # type: ignore[attr-defined]
        return checked

    return decorate


def _bind(the_rule: Rule, bench: Tried) -> None:
    if the_rule.needs is not None and the_rule.needs not in bench.capabilities:
        not_offered(f"the runner does not declare the capability {the_rule.needs!r}")
    bench.begin(the_rule)


def _fail(the_rule: Rule, bench: Tried, did: str) -> NoReturn:
    did += bench.look_after(the_rule)
    if the_rule.presumes is not None and bench.is_broken(the_rule.presumes):
        pytest.skip(f"{NOT_CHECKED}because of {the_rule.presumes}: the runner {did}")
    pytest.fail(the_rule.failure(bench.runner_name, did), pytrace=False)


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
