"""What a benchmark is, and how its sides take turns.

All sides of a subject go through each round, so that whatever else the machine does falls on each
of them. A ratio is taken within its round; the median and the quartiles of all rounds are reported.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FEWEST_ROUNDS = 5
ROUNDS_WHEN_TINY = 2

Run = Callable[[], "float | None"]
"""What the clock measures; it may return a measure of its own instead, such as bytes."""

Prepare = Callable[[], Run]
"""Does what comes before the clock."""


@dataclass(frozen=True)
class Target:
    """The bound that a median is to keep."""

    at_least: float = float("-inf")
    at_most: float = float("inf")

    def __str__(self) -> str:
        is_upper = self.at_most != float("inf")
        return f"≤ {self.at_most:g}" if is_upper else f"≥ {self.at_least:g}"

    def is_met_by(self, value: float) -> bool:
        return self.at_least <= value <= self.at_most


def speed(base: float, candidate: float) -> float:
    """How many times as fast the candidate is."""
    return base / candidate


def cost(base: float, candidate: float) -> float:
    """How many times as much the candidate costs."""
    return candidate / base


def more(base: float, candidate: float) -> float:
    """How much more the candidate costs."""
    return candidate - base


@dataclass(frozen=True)
class Pair:
    """A row of the table: one side of a subject against another.

    Attributes:
        name: what is compared with what.
        candidate, baseline: names of sides.
        target: what the ratio is to reach; None where it only informs.
        ratio: of (baseline, candidate).
        size: where the row is a point of a growth curve, its x.
    """

    name: str
    candidate: str
    baseline: str
    target: Target | None = None
    ratio: Callable[[float, float], float] = speed
    size: int | None = None


@dataclass(frozen=True)
class Subject:
    """Sides that are measured together.

    Attributes:
        sides: name → what is done. A round runs each once.
        count: operations in one run.
        seconds: how long to go on with rounds, what is not measured included.
        most_rounds: where more would change what is measured.
        unit: of one operation; "µs" and "ms" are made of the clock's seconds.
        curve: what the pairs with a size are points of: (what grows, whose line it is).
    """

    name: str
    sides: Mapping[str, Prepare]
    pairs: Sequence[Pair]
    count: int = 1
    seconds: float = 10.0
    most_rounds: int = 1_000
    unit: str = "µs"
    curve: tuple[str, str] | None = None


@dataclass(frozen=True)
class Skipped:
    """A subject that cannot be measured here."""

    name: str
    reason: str


@dataclass(frozen=True)
class Row:
    """What came out for a pair.

    Attributes:
        costs: side → the median of one operation, in the unit.
        ratios: by round.
    """

    subject: str
    name: str
    candidate: str
    baseline: str
    lower: float
    median: float
    upper: float
    target: str
    is_met: bool | None
    curve: tuple[str, str] | None = None
    size: int | None = None
    ratios: tuple[float, ...] = ()


@dataclass(frozen=True)
class Scale:
    """How much is measured: in full, or only that everything runs.

    Attributes:
        folder: for what is written and may be forgotten.
    """

    folder: Path
    is_tiny: bool = False

    def count(self, count: int) -> int:
        return 2 if self.is_tiny else count

    def sizes(self, *sizes: int) -> tuple[int, ...]:
        return tuple(10 * (number + 1) for number in range(len(sizes))) if self.is_tiny else sizes


_IN_A_SECOND = {"µs": 1e6, "ms": 1e3}


def measure(subject: Subject, scale: Scale) -> list[Row]:
    """Run the subject's rounds; return a row for each pair."""
    rounds = take_turns(subject, scale)
    return [_row(subject, pair, rounds) for pair in subject.pairs]


def take_turns(subject: Subject, scale: Scale) -> list[dict[str, float]]:
    """Return, for each round, what one operation cost on each side. Which side begins rotates."""
    sides = list(subject.sides.items())
    for _, prepare in sides:
        prepare()()  # not counted: whatever is done once
    rounds: list[dict[str, float]] = []
    fewest = ROUNDS_WHEN_TINY if scale.is_tiny else FEWEST_ROUNDS
    ends = time.monotonic() + (0 if scale.is_tiny else subject.seconds)
    while len(rounds) < fewest or (time.monotonic() < ends and len(rounds) < subject.most_rounds):
        rounds.append({name: _measured(prepare()) / subject.count for name, prepare in sides})
        sides.append(sides.pop(0))
    return rounds


def _measured(run: Run) -> float:
    began = time.perf_counter()
    own_measure = run()
    seconds = time.perf_counter() - began
    return seconds if own_measure is None else own_measure


def _row(subject: Subject, pair: Pair, rounds: Sequence[Mapping[str, float]]) -> Row:
    ratios = [pair.ratio(each[pair.baseline], each[pair.candidate]) for each in rounds]
    if pair.ratio is more:
        ratios = [ratio * _IN_A_SECOND.get(subject.unit, 1) for ratio in ratios]
    lower, median, upper = quartiles(ratios)
    return Row(
        subject=subject.name,
        name=pair.name,
        candidate=_shown(subject, (each[pair.candidate] for each in rounds)),
        baseline=_shown(subject, (each[pair.baseline] for each in rounds)),
        lower=lower,
        median=median,
        upper=upper,
        target="" if pair.target is None else str(pair.target),
        is_met=None if pair.target is None else pair.target.is_met_by(median),
        curve=None if pair.size is None else subject.curve,
        size=pair.size,
        ratios=tuple(ratios),
    )


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, median, upper


def _shown(subject: Subject, values: Iterable[float]) -> str:
    value = statistics.median(values) * _IN_A_SECOND.get(subject.unit, 1)
    digits = 0 if value >= 10 or value.is_integer() else 2
    return f"{value:,.{digits}f} {subject.unit}".strip()
