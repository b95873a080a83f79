"""What is to happen in a round, decided before it begins, and what came of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import kinds

MEAN_GAP = 6
"""Arrivals at a point for each that is struck."""


@dataclass
class Round:
    """One kind of fault on one storage and runner, and what came of it.

    Attributes:
        seed, turn: decide the plan; with the kind, storage and runner.
        faults_wanted: how many are to strike.
        without: protections taken out.
        faults: how many struck.
        executions, reruns: of tasks; the reruns are those that stand in for a lost one.
        sessions: how many were fed.
        exits: how often Celery's worker gave up by itself, and was started again.
        deaf: whether it lived and took nothing any more, 0 or 1, until it was started again.
        problems: what is wrong, a sentence each.
        log: where something is, the last that the processes said.
    """

    storage: str
    runner: str
    fault: str
    seed: str
    turn: int
    faults_wanted: int
    without: tuple[str, ...] = ()
    faults: int = 0
    executions: int = 0
    reruns: int = 0
    sessions: int = 0
    exits: int = 0
    deaf: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def planned(self) -> int:
        """How many faults are to strike: fewer than wanted, of a slow kind."""
        return max(1, self.faults_wanted // kinds.SLOW.get(self.fault, 1))

    def plan(self) -> Plan:
        """Return when which faults strike: the same for the same round."""
        return Plan.of(self)


@dataclass(frozen=True)
class Plan:
    """What is decided before a round begins.

    Attributes:
        arrivals: which arrivals at the fault's point are struck.
        strikes: of faults from outside, (seconds after the one before, a number in [0, 1) that
            picks the process).
    """

    arrivals: tuple[int, ...]
    strikes: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, this: Round) -> Plan:
        chance = random.Random(f"{this.seed} {this.turn} {this.storage} {this.runner} {this.fault}")
        if this.fault in kinds.AT_POINTS:
            arrivals, last = [], 0
            for _ in range(this.planned):
                last += chance.randint(1, 2 * MEAN_GAP - 1)
                arrivals.append(last)
            return cls(tuple(arrivals), ())
        pauses = kinds.PAUSES_SECONDS[this.fault]
        return cls(
            (), tuple((chance.uniform(*pauses), chance.random()) for _ in range(this.planned))
        )
