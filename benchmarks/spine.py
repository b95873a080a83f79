"""What a fire costs: against the same rows written by hand, and as its session grows.

Two sides of one run take turns, so that whatever else the machine does falls on both; a ratio is
taken within its round, and the median of all rounds reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from triggers_core import BaseTaskRunner, Plugins, SqliteStorage, Status, TriggerManager
from triggers_core.storage.base import encode_instance
from triggers_core.storage.sqlite import _INSERT_INSTANCE, _UPDATE_INSTANCE

RESULTS = Path(__file__).with_name("results") / "spine.json"
SYNCHRONOUS = ("FULL", "NORMAL")
KWARGS = {"at": "2026-01-31T12:00:00", "resource": "clerk 7"}

Prepare = Callable[[], Callable[[], object]]
"""Does what comes before the clock; returns what the clock measures."""


class NullRunner(BaseTaskRunner):
    """Accepts every instance and runs none: a fire is measured, and nothing that follows it."""

    name = "null"

    def run(self, manager: TriggerManager, task_instance: object) -> None:
        pass


class Manager(TriggerManager):
    name = "benchmark"
    default_task_runner_name = "null"


@dataclass(frozen=True)
class Result:
    """A row of the table: both sides' medians, and of the rounds' quotients the quartiles."""

    name: str
    ours: str
    baseline: str
    lower: float
    median: float
    upper: float
    target: str
    met: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="of each pair of sides")
    parser.add_argument("--joins", type=int, default=100, help="for each side in a round")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for synchronous in SYNCHRONOUS:
            results.append(by_hand(Path(folder), synchronous, options.rounds, options.joins))
        for synchronous in SYNCHRONOUS:
            results.append(growth(Path(folder), synchronous, options.rounds))
    results.extend(importing())
    show(results)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**machine(), "results": [asdict(r) for r in results]}, indent=1))


# The same rows by hand ----------------------------------------------------------------------------

JOIN = {"joined": {"after": ["asked", "answered"], "run": "none"}}
"""``asked`` makes an instance, which waits; ``answered`` schedules it. A session for each join."""

FIND_SESSION = "SELECT id, config_digest FROM sessions WHERE uid = ?"
INSERT_WAITING = "INSERT INTO waiting (session_id, trigger_name, instance_id) VALUES (?, ?, ?)"
DELETE_WAITING = "DELETE FROM waiting WHERE session_id = ? AND trigger_name = ? AND instance_id = ?"
REMEMBER_TRIGGER = (
    "INSERT INTO triggers (session_id, name, kwargs, fired_at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET kwargs = excluded.kwargs, fired_at = excluded.fired_at"
)


def by_hand(folder: Path, synchronous: str, rounds: int, joins: int) -> Result:
    """Compare ``manager.fire`` with the row writes that it makes, done with ``sqlite3`` alone.

    Both sides: a file of the framework's schema, WAL, the same ``synchronous``, two transactions
    a join, sessions configured beforehand. By hand, each transaction is BEGIN IMMEDIATE, the
    session's look-up, the INSERT or UPDATE of the instance, the INSERT or DELETE of what it waits
    for, the trigger's upsert, COMMIT. What is written lies ready as text: there is no rule, no
    check, no JSON, no look-up of who waits or of the next number, no dispatch.
    """
    storage = SqliteStorage(folder / f"fire-{synchronous}.db", synchronous=synchronous)
    hand_storage = SqliteStorage(folder / f"hand-{synchronous}.db", synchronous=synchronous)
    new_session(hand_storage, JOIN)
    connection = sqlite3.connect(hand_storage.path, isolation_level=None)
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    rows = rows_of_a_join(folder)

    def fire() -> Callable[[], None]:
        managers = [new_session(storage, JOIN) for _ in range(joins)]
        return lambda: fire_joins(managers)

    def write() -> Callable[[], None]:
        uids = [new_session(hand_storage, JOIN).session_uid for _ in range(joins)]
        return lambda: write_joins(connection, uids, *rows)

    fired, written = take_turns(rounds, fire, write)
    assert everything(storage) == everything(hand_storage), "the two sides wrote different rows"
    connection.close()
    return compared(
        f"fires / the same rows by hand, {synchronous}",
        rates(2 * joins, fired),
        rates(2 * joins, written),
        at_least=0.5,
    )


def fire_joins(managers: Iterable[TriggerManager]) -> None:
    for manager in managers:
        manager.fire("asked", KWARGS)
        manager.fire("answered", KWARGS)


def write_joins(
    connection: sqlite3.Connection, uids: Iterable[str], asked: tuple, answered: tuple, kwargs: str
) -> None:
    execute = connection.execute
    for uid in uids:
        execute("BEGIN IMMEDIATE")
        session_id, _ = execute(FIND_SESSION, (uid,)).fetchone()
        instance_id = execute(_INSERT_INSTANCE, (session_id, *asked)).lastrowid
        execute(INSERT_WAITING, (session_id, "answered", instance_id))
        execute(REMEMBER_TRIGGER, (session_id, "asked", kwargs, time.time()))
        execute("COMMIT")

        execute("BEGIN IMMEDIATE")
        session_id, _ = execute(FIND_SESSION, (uid,)).fetchone()
        execute(_UPDATE_INSTANCE, (*answered[2:], instance_id))
        execute(DELETE_WAITING, (session_id, "answered", instance_id))
        execute(REMEMBER_TRIGGER, (session_id, "answered", kwargs, time.time()))
        execute("COMMIT")


def rows_of_a_join(folder: Path) -> tuple[tuple, tuple, str]:
    """Return what the framework writes: the instance's row after each trigger, and the kwargs."""
    manager = new_session(SqliteStorage(folder / "rows.db"), JOIN)
    manager.fire("asked", KWARGS)
    asked = encode_instance(manager.instance("joined#0"))
    manager.fire("answered", KWARGS)
    return (
        asked,
        encode_instance(manager.instance("joined#0")),
        json.dumps(KWARGS, separators=(",", ":")),
    )


def everything(storage: SqliteStorage) -> dict[str, list[tuple]]:
    """Return how many rows of each kind there are, to tell whether two stores are alike."""
    queries = {
        "instances": "SELECT status, trigger_kwargs, waits_for, count(*) FROM instances "
        "GROUP BY 1, 2, 3",
        "waiting": "SELECT count(*) FROM waiting",
        "triggers": "SELECT name, kwargs, count(*) FROM triggers GROUP BY 1, 2",
    }
    connection = sqlite3.connect(storage.path)
    found = {name: connection.execute(query).fetchall() for name, query in queries.items()}
    connection.close()
    return found


# As the session grows -----------------------------------------------------------------------------

SMALL, LARGE = 100, 20_000
"""Instances in a session."""
LATE = 20
"""Instances that are completed in a round; as many are made."""
GROWING = {
    "asked_for": {"after": ["asked"], "andEvery": "asked", "run": "none"},
    "forgotten": {"after": ["never", "seldom"], "andEvery": "seldom", "run": "none"},
    **{f"completed{n}": {"after": [f"late{n}", "seldom"], "run": "none"} for n in range(LATE)},
}


def growth(folder: Path, synchronous: str, rounds: int) -> Result:
    """Compare a fire in a session of 20,000 instances with one in a session of 100.

    Half of the instances are finished ones of the task that is fired for; half wait for a trigger
    that is not fired. In a round, 20 fires make an instance and 20 complete one. Each size is in
    a file of its own; the small session is a new one in each round, as it would not stay small.
    """
    small_storage = SqliteStorage(folder / f"small-{synchronous}.db", synchronous=synchronous)
    large_storage = SqliteStorage(folder / f"large-{synchronous}.db", synchronous=synchronous)
    small = iter([new_filled(small_storage, SMALL) for _ in range(rounds + 1)])
    large = new_filled(large_storage, LARGE)

    def fire_in(manager: TriggerManager) -> Callable[[], None]:
        add_incomplete(manager)
        return lambda: fire_late(manager)

    in_large, in_small = take_turns(rounds, lambda: fire_in(large), lambda: fire_in(next(small)))
    return compared(
        f"a fire at {LARGE:,} instances / at {SMALL}, {synchronous}",
        costs(2 * LATE, in_large),
        costs(2 * LATE, in_small),
        at_most=1.2,
    )


def fire_late(manager: TriggerManager) -> None:
    for number in range(LATE):
        manager.fire("asked", KWARGS)
        manager.fire(f"late{number}", KWARGS)


def add_incomplete(manager: TriggerManager) -> None:
    """Add an instance that waits for ``late0``, one for ``late1``, …, by the storage alone."""
    with manager.storage.transaction(manager.session_uid, manager.name) as unit:
        waiting = unit.instance("forgotten", 0)
        for number in range(LATE):
            task_name = f"completed{number}"
            unit.save(
                replace(
                    waiting,
                    task_name=task_name,
                    number=unit.next_number(task_name),
                    waits_for=frozenset({f"late{number}"}),
                )
            )


def new_filled(storage: SqliteStorage, size: int) -> TriggerManager:
    """Return a session with copies of two real instances, put there by the storage alone."""
    manager = new_session(storage, GROWING)
    manager.fire("asked", KWARGS)
    manager.fire("seldom", KWARGS)
    finished = replace(manager.instance("asked_for#0"), status=Status.FINISHED, recover_at=None)
    waiting = manager.instance("forgotten#0")
    fire_late(manager)  # so that each trigger's latest kwargs are there to be replaced
    with storage.transaction(manager.session_uid, manager.name) as unit:
        unit.save(finished)
        for number in range(1, size // 2):
            unit.save(replace(finished, number=number))
            unit.save(replace(waiting, number=number))
    return manager


# Importing ----------------------------------------------------------------------------------------

STARTS = 15
BUILT_ON = "import contextlib, dataclasses, json, logging, pathlib, pluggy, sqlite3"


def importing() -> list[Result]:
    """Compare fresh interpreters that import the core with those that import nothing.

    Their modules are compiled, as pip leaves them. The second row imports only what the core is
    built on: what it could cost at least.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def start(code: str) -> Prepare:
            command = [sys.executable, "-c", code]
            return lambda: lambda: subprocess.run(command, env=environment, check=True)

        start("import triggers_core, sys; assert 'celery' not in sys.modules")()()
        sides = [start("import triggers_core"), start(BUILT_ON)]
        return [
            started(name, *take_turns(STARTS, side, start("pass")), limit)
            for name, side, limit in (
                ("import triggers_core − python -c pass, ms", sides[0], 60.0),
                ("import pluggy, sqlite3, logging, … − pass, ms", sides[1], None),
            )
        ]


def started(name: str, ours: list[float], base: list[float], limit: float | None) -> Result:
    lower, median, upper = quartiles(1000 * (a - b) for a, b in zip(ours, base, strict=True))
    return Result(
        name,
        f"{1000 * statistics.median(ours):.0f} ms",
        f"{1000 * statistics.median(base):.0f} ms",
        lower,
        median,
        upper,
        f"≤ {limit:.0f}" if limit else "",
        limit is None or median <= limit,
    )


# Measuring ----------------------------------------------------------------------------------------


def take_turns(rounds: int, first: Prepare, second: Prepare) -> tuple[list[float], list[float]]:
    """Return each side's seconds, round by round. The side that goes first alternates."""
    seconds: tuple[list[float], list[float]] = ([], [])
    sides = [(seconds[0], first), (seconds[1], second)]
    for _, prepare in sides:
        prepare()()  # not counted: whatever is done once
    for _ in range(rounds):
        for taken, prepare in sides:
            run = prepare()
            began = time.perf_counter()
            run()
            taken.append(time.perf_counter() - began)
        sides.reverse()
    return seconds


@dataclass(frozen=True)
class Measured:
    """One side: a number for each round, and the unit to show their median in."""

    values: list[float]
    unit: str

    def __str__(self) -> str:
        return f"{statistics.median(self.values):,.0f} {self.unit}"


def rates(fires: int, seconds: list[float]) -> Measured:
    return Measured([fires / taken for taken in seconds], "/s")


def costs(fires: int, seconds: list[float]) -> Measured:
    return Measured([1e6 * taken / fires for taken in seconds], "µs")


def compared(
    name: str,
    ours: Measured,
    base: Measured,
    *,
    at_least: float = 0.0,
    at_most: float = float("inf"),
) -> Result:
    lower, median, upper = quartiles(a / b for a, b in zip(ours.values, base.values, strict=True))
    target = f"≥ {at_least}" if at_least else f"≤ {at_most}"
    met = at_least <= median <= at_most
    return Result(name, str(ours), str(base), lower, median, upper, target, met)


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    lower, median, upper = statistics.quantiles(values, n=4)
    return lower, median, upper


_uids = (f"s{number}" for number in count())


def new_session(storage: SqliteStorage, configuration: dict) -> TriggerManager:
    manager = Manager(next(_uids), storage=storage, plugins=PLUGINS)
    manager.update_configuration(configuration)
    return manager


PLUGINS = Plugins(load_entry_points=False)
PLUGINS.use_runner(NullRunner())


def machine() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": platform.platform(),
    }


def show(results: Iterable[Result]) -> None:
    table = Table(title=" · ".join(f"{key} {value}" for key, value in machine().items()))
    table.add_column("what", no_wrap=True)
    for column in ("ours", "baseline", "median", "quartiles", "target"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column()
    for result in results:
        digits = 0 if result.median >= 10 else 2
        table.add_row(
            result.name,
            result.ours,
            result.baseline,
            f"{result.median:.{digits}f}",
            f"{result.lower:.{digits}f} – {result.upper:.{digits}f}",
            result.target,
            ("met" if result.met else "missed") if result.target else "",
        )
    Console(width=max(Console().width, 125)).print(table)


if __name__ == "__main__":
    main()
