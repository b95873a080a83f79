"""Take each protection out, and see that the campaign finds what goes wrong without it.

Exits with 1 if a build without a protection passes.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import kinds
import stage
from rounds import Round

FAULTS_WANTED = 10
TRIES = 12
"""Rounds, with a seed each: what a fault does depends on what it meets."""


@dataclass(frozen=True)
class Case:
    """A fault, and the protections without which it does harm."""

    fault: str
    without: tuple[str, ...]
    storage: str
    runner: str

    @property
    def protections(self) -> str:
        return " and ".join(self.without)


CASES = (
    Case(kinds.BEFORE_DISPATCH, ("recovery of messages",), "sqlite", "threading"),
    Case(kinds.BEFORE_DISPATCH, ("event ids",), "sqlite", "celery-redis"),
    Case(kinds.BEFORE_RUN, ("recovery of workers",), "sqlite", "threading"),
    Case(kinds.BEFORE_FINISH, ("recovery of workers",), "postgresql", "threading"),
    Case(kinds.IN_TRANSACTION, ("atomic transactions",), "sqlite", "threading"),
    Case(kinds.IN_TRANSACTION, ("atomic transactions",), "postgresql", "celery-redis"),
    Case(kinds.IN_TRANSACTION, ("one transaction",), "sqlite", "threading"),
    Case(kinds.LOST, ("recovery of messages",), "sqlite", "celery-rabbitmq"),
    Case(kinds.DOUBLED, ("claim",), "postgresql", "celery-redis"),
    Case(kinds.LATE, ("claim",), "sqlite", "celery-redis"),
    Case(kinds.LATE, ("recovery of messages",), "sqlite", "threading"),
    Case(kinds.KILLED, ("recovery of workers",), "sqlite", "threading"),
    Case(kinds.KILLED, ("event ids",), "postgresql", "threading"),
    Case(kinds.FROZEN, ("end",), "sqlite", "threading"),
    Case(kinds.CUT, ("claim",), "sqlite", "celery-rabbitmq"),
    Case(kinds.REDIS_RESTARTED, ("recovery of messages",), "sqlite", "celery-redis"),
    Case(kinds.REDIS_EMPTIED, ("recovery of messages",), "sqlite", "celery-redis"),
    Case(
        kinds.TERMINATED,
        ("another try", "recovery of workers"),
        "postgresql",
        "threading",
    ),
    Case(kinds.UNANSWERED, ("outcome of commits",), "postgresql", "threading"),
    Case(kinds.CLOCKS, ("server's clock",), "postgresql", "threading"),
    Case(kinds.LOST, ("renewal",), "sqlite", "threading"),
)


def caught(case: Case, seed: str) -> str | None:
    """Return the first problem that is found without the protections; None if none is."""
    for turn in range(TRIES):
        this = Round(case.storage, case.runner, case.fault, seed, turn, FAULTS_WANTED, case.without)
        stage.run(this)
        if this.problems:
            return this.problems[0]
    return None


def main() -> int:
    """Go through all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--only", default="", help="only cases whose fault or protection has this")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in f"{case.fault} {case.protections}"]
    passed = 0
    print("| fault | without | on | found |\n|---|---|---|---|")
    with ThreadPoolExecutor(options.jobs) as pool:
        problems = pool.map(lambda case: caught(case, options.seed), cases)
        for case, problem in zip(cases, problems, strict=True):
            passed += problem is None
            print(
                f"| {case.fault} | {case.protections} | {case.storage}, {case.runner} "
                f"| {problem or 'NOTHING'} |",
                flush=True,
            )
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())
