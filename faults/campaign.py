"""Kill, cut, double, delay and skew in real processes; then heal, and look for what is wrong.

Runs every kind of fault on every storage and runner, again and again until so many faults have
struck, and prints them by kind. Exits with 1 if anything was lost or doubled, and with 3 if nothing
was, but fewer faults struck than were asked for.
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
from rounds import Round

PROBLEMS_SHOWN = 10
"""Of a round; all are in the JSON."""
PER_ROUND = 15
"""Faults planned for a round; fewer where the campaign has not so many for each kind."""
PROBLEMS_FOUND, FEWER_FAULTS = 1, 3
"""Exit codes. What is wrong with the command line is 2."""
COUNTS = ("rounds", "faults", "sessions", "executions", "reruns", "exits", "deaf", "problems")


def places(
    faults: Sequence[str], storages: Sequence[str], runners: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Return every (fault, storage, runner) that there is, in the order of a turn.

    All faults come once before any comes twice, and one after the other on another storage or
    runner, so that a short campaign has met all of them.
    """
    pairs = list(itertools.product(storages, runners))
    found = []
    for lap in range(len(pairs)):
        for number, fault in enumerate(faults):
            possible = [pair for pair in pairs if kinds.can_strike(fault, *pair)]
            if lap < len(possible):
                found.append((fault, *possible[(number + lap) % len(possible)]))
    return found


def rounds(
    seed: str,
    turn_of_places: Sequence[tuple[str, str, str]],
    *,
    per_round: int,
    without: Sequence[str] = (),
    turn: int = 0,
) -> Iterator[Round]:
    """Yield a round at every place, turn after turn, for ever.

    Args:
        per_round: faults that are to strike in a round; of slow kinds, fewer.
        without: protections to take out.
        turn: the first turn.
    """
    for this_turn in itertools.count(turn):
        for fault, storage, runner in turn_of_places:
            yield Round(storage, runner, fault, seed, this_turn, per_round, tuple(without))


def enough(planned: Iterator[Round], faults: int) -> Iterator[Round]:
    """Yield the first of the rounds that plan so many faults together."""
    so_far = 0
    while so_far < faults:
        this = next(planned)
        so_far += this.planned
        yield this


def carried_out(
    planned: Iterator[Round], faults: int, seconds: float, jobs: int
) -> Iterator[Round]:
    """Run rounds until so many faults have struck, some at a time; yield each once it is over.

    Args:
        seconds: after which no further round begins.
        jobs: rounds at a time. They wait more than they work.
    """
    give_up = time.monotonic() + seconds
    struck = 0
    running: dict[Future[None], Round] = {}
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


def plan_of(this: Round) -> str:
    """Return a round's plan in one line."""
    plan = this.plan()
    strikes = ", ".join(f"{pause:.2f} s ({pick:.2f})" for pause, pick in plan.strikes)
    when = strikes or f"arrivals {', '.join(map(str, plan.arrivals))}"
    return f"{this.seed}/{this.turn} {this.storage:11} {this.runner:16} {this.fault:38} {when}"


def described(this: Round) -> str:
    """Return a round in one line."""
    return (
        f"{this.seed}/{this.turn} {this.storage:11} {this.runner:16} {this.fault:38} "
        f"{this.faults:3} of {this.planned:2} faults {this.executions:5} executions "
        f"{this.reruns:3} reruns {this.seconds:4.0f} s  {'PROBLEMS' if this.problems else 'ok'}"
    )


def how_to_repeat(this: Round) -> str:
    """Return the command that plans the same round again."""
    without = "".join(f" --without '{protection}'" for protection in this.without)
    return (
        f"python faults/campaign.py --seed {this.seed} --turn {this.turn} --storage {this.storage} "
        f"--runner {this.runner} --only '{this.fault}' --per-round {this.faults_wanted} "
        f"--faults 1{without}"
    )


def counted(done: list[Round]) -> dict[str, dict[str, int]]:
    """Return the counts by kind of fault, and of all."""
    struck = {this.fault for this in done}
    kinds_struck = [kind for kind in kinds.KINDS if kind in struck]
    counts = {kind: dict.fromkeys(COUNTS, 0) for kind in (*kinds_struck, "all")}
    for this in done:
        for row in (counts[this.fault], counts["all"]):
            row["rounds"] += 1
            row["problems"] += len(this.problems)
            for count in ("faults", "sessions", "executions", "reruns", "exits", "deaf"):
                row[count] += getattr(this, count)
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
    parser = _parser()
    options = parser.parse_args()
    # What was told to end still ends the processes of the rounds that run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = [fault for fault in kinds.KINDS if options.only in fault]
    turn_of_places = places(
        wanted, options.storage or kinds.STORAGES, options.runner or kinds.RUNNERS
    )
    left_out = without_redis_server(turn_of_places)
    turn_of_places = [place for place in turn_of_places if place[0] not in left_out]
    if not turn_of_places:
        parser.error(f"no such fault can strike there; without redis-server: {left_out}")
    faults_each = options.faults // len({fault for fault, *_ in turn_of_places})
    planned = rounds(
        options.seed,
        turn_of_places,
        per_round=options.per_round or max(1, min(PER_ROUND, faults_each)),
        without=options.without,
        turn=options.turn,
    )
    if options.plan:
        for this in enough(planned, options.faults):
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
    report(done, options.json)
    return concluded(done, options.faults, left_out)


def without_redis_server(turn_of_places: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return the faults that cannot strike for want of a ``redis-server``."""
    if shutil.which("redis-server"):
        return []
    faults = {fault for fault, *_ in turn_of_places}
    return [fault for fault in kinds.RESTARTS_REDIS if fault in faults]


def report(done: list[Round], path: Path | None) -> None:
    """Print the counts by kind, and by storage and runner; write all into the file."""
    counts = counted(done)
    print(table(counts))
    by_combination: dict[str, int] = collections.Counter()
    for this in done:
        by_combination[f"{this.storage} {this.runner}"] += this.faults
    print(", ".join(f"{combination}: {faults}" for combination, faults in by_combination.items()))
    if path:
        each_round = [asdict(this) for this in done]
        everything = {"by_fault": counts, "by_combination": by_combination, "rounds": each_round}
        path.write_text(json.dumps(everything, indent=1))


def concluded(done: list[Round], faults: int, left_out: Sequence[str]) -> int:
    """Say in words how the campaign came out; return its exit code.

    Args:
        faults: how many were to strike.
        left_out: kinds that could not.
    """
    struck = sum(this.faults for this in done)
    problems = sum(len(this.problems) for this in done)
    missing = [f"{struck} faults of {faults}: the time is up"] if struck < faults else []
    missing += [
        f"{this.faults} of {this.planned} in {stage.RAGE_SECONDS:.0f} s: {how_to_repeat(this)}"
        for this in done
        if this.faults < this.planned
    ]
    missing += [f"{kind}: there is no redis-server to restart" for kind in left_out]
    if problems:
        print(f"PROBLEMS FOUND: {problems}")
    if missing:
        print("FEWER FAULTS THAN ASKED FOR:", *missing, sep="\n    ")
    if problems:
        return PROBLEMS_FOUND
    return FEWER_FAULTS if missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="in all, at least")
    parser.add_argument(
        "--per-round",
        type=int,
        help=f"faults planned for a round; else {PER_ROUND}, or so few that all kinds have a round",
    )
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
    parser.add_argument("--plan", action="store_true", help="print the plan, and do nothing")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time")
    parser.add_argument("--seconds", type=float, default=7200.0, help="begin no round after")
    parser.add_argument("--json", type=Path, help="write the counts and rounds here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
