"""Kill, cut, double, delay and skew in real processes; then heal, and look for what is wrong.

Runs every kind of fault on every storage and runner, again and again until so many faults have
struck, and prints them by kind. Exits with 1 if anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import kinds
import sabotage
import stage

PROBLEMS_SHOWN = 10
"""Of a round; all are in the JSON."""
COUNTS = ("rounds", "faults", "sessions", "executions", "reruns", "exits", "deaf", "problems")


def rounds(
    seed: str,
    *,
    storages: Sequence[str] = kinds.STORAGES,
    runners: Sequence[str] = kinds.RUNNERS,
    only: str = "",
    per_round: int = 15,
    without: Sequence[str] = (),
    turn: int = 0,
) -> Iterator[stage.Round]:
    """Yield every kind of fault on every storage and runner, turn after turn, for ever.

    Args:
        only: what a fault's name must have in it.
        per_round: faults that are to strike in a round; of slow kinds, fewer.
        without: protections to take out.
        turn: the first turn.
    """
    while True:
        for storage in storages:
            for runner in runners:
                for fault in kinds.kinds_on(storage, runner):
                    if only in fault:
                        yield stage.Round(
                            storage, runner, fault, seed, turn, per_round, tuple(without)
                        )
        turn += 1


def carried_out(
    planned: Iterator[stage.Round], faults: int, seconds: float, jobs: int
) -> Iterator[stage.Round]:
    """Run rounds until so many faults have struck, some at a time; yield each once it is over.

    Args:
        seconds: after which no further round begins.
        jobs: rounds at a time. They wait more than they work.
    """
    give_up = time.monotonic() + seconds
    struck = 0
    running: dict[Future[None], stage.Round] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            while (
                len(running) < jobs
                and struck + sum(this.planned for this in running.values()) < faults
                and time.monotonic() < give_up
            ):
                this = next(planned)
                running[pool.submit(stage.run, this)] = this
            if not running:
                return
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                this = running.pop(ended)
                ended.result()
                struck += this.faults
                yield this


def plan_of(this: stage.Round) -> str:
    """Return a round's plan in one line."""
    plan = this.plan()
    strikes = ", ".join(f"{pause:.2f} s ({pick:.2f})" for pause, pick in plan.strikes)
    when = strikes or f"arrivals {', '.join(map(str, plan.arrivals))}"
    return f"{this.seed}/{this.turn} {this.storage:11} {this.runner:16} {this.fault:38} {when}"


def described(this: stage.Round) -> str:
    """Return a round in one line."""
    return (
        f"{this.seed}/{this.turn} {this.storage:11} {this.runner:16} {this.fault:38} "
        f"{this.faults:3} faults {this.executions:5} executions {this.reruns:3} reruns "
        f"{this.seconds:4.0f} s  {'PROBLEMS' if this.problems else 'ok'}"
    )


def how_to_repeat(this: stage.Round) -> str:
    """Return the command that plans the same round again."""
    without = "".join(f" --without '{protection}'" for protection in this.without)
    return (
        f"python faults/campaign.py --seed {this.seed} --turn {this.turn} --storage {this.storage} "
        f"--runner {this.runner} --only '{this.fault}' --per-round {this.faults_wanted} "
        f"--faults 1{without}"
    )


def counted(done: list[stage.Round]) -> dict[str, dict[str, int]]:
    """Return the counts by kind of fault, and of all."""
    counts: dict[str, dict[str, int]] = {}
    for this in done:
        for kind in (this.fault, "all"):
            row = counts.setdefault(kind, dict.fromkeys(COUNTS, 0))
            row["rounds"] += 1
            row["problems"] += len(this.problems)
            for count in ("faults", "sessions", "executions", "reruns", "exits", "deaf"):
                row[count] += getattr(this, count)
    counts["all"] = counts.pop("all")  # last
    return counts


def table(counts: dict[str, dict[str, int]]) -> str:
    """Return the counts as a table in Markdown."""
    lines = [
        f"| {'fault':38} | " + " | ".join(f"{count:>10}" for count in COUNTS) + " |",
        f"|:{'-' * 38} | " + " | ".join(f"{'-' * 9}:" for _ in COUNTS) + " |",
    ]
    for kind, row in counts.items():
        cells = " | ".join(f"{row[count]:10}" for count in COUNTS)
        lines.append(f"| {kind:38} | {cells} |")
    return "\n".join(lines)


def main() -> int:
    """Run a campaign, or show what it would be."""
    options = _parser().parse_args()
    # What was told to end still ends the processes of the rounds that run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not shutil.which("redis-server"):
        print("there is no redis-server to restart: no such faults on Redis")
    planned = rounds(
        options.seed,
        storages=options.storage or kinds.STORAGES,
        runners=options.runner or kinds.RUNNERS,
        only=options.only,
        per_round=options.per_round,
        without=options.without,
        turn=options.turn,
    )
    if options.plan:
        for this in itertools.takewhile(lambda this: this.turn == options.turn, planned):
            print(plan_of(this))
        return 0
    done = []
    for this in carried_out(planned, options.faults, options.seconds, options.jobs):
        done.append(this)
        print(described(this), flush=True)
        if this.problems:
            print("\n".join(f"    {problem}" for problem in this.problems[:PROBLEMS_SHOWN]))
            print(f"    {len(this.problems)} problems; the processes' last words:\n{this.log}")
            print(f"    to repeat: {how_to_repeat(this)}", flush=True)
    counts = counted(done)
    print(table(counts))
    by_combination: dict[str, int] = collections.Counter()
    for this in done:
        by_combination[f"{this.storage} {this.runner}"] += this.faults
    print(", ".join(f"{combination}: {faults}" for combination, faults in by_combination.items()))
    if options.json:
        each_round = [asdict(this) for this in done]
        report = {"by_fault": counts, "by_combination": by_combination, "rounds": each_round}
        options.json.write_text(json.dumps(report, indent=1))
    return 1 if counts["all"]["problems"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="in all, at least")
    parser.add_argument("--per-round", type=int, default=15, help="faults planned for a round")
    parser.add_argument("--seed", default="1", help="the same seed plans the same faults")
    parser.add_argument("--turn", type=int, default=0, help="begin with this turn of all rounds")
    parser.add_argument("--storage", action="append", choices=kinds.STORAGES)
    parser.add_argument("--runner", action="append", choices=kinds.RUNNERS)
    parser.add_argument("--only", default="", help="only faults whose name has this")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=sabotage.PROTECTIONS,
        help="take a protection out, to see what is found",
    )
    parser.add_argument("--plan", action="store_true", help="print one turn's plan, and do nothing")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time")
    parser.add_argument("--seconds", type=float, default=7200.0, help="begin no round after")
    parser.add_argument("--json", type=Path, help="write the counts and rounds here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
