"""What a join costs on Celery: against bare tasks, and against Celery's own join, the chord.

One Redis, one prefork worker, one run. In a round every side does its work N times, and rounds go
through the sides in turn, so that whatever else the machine does falls on each; a ratio is taken
within its round, and the median and quartiles of all rounds reported.

**Rates.** The clock runs from the first call in this process until the last of N tasks has run in
the worker, which it tells by counting itself off in Redis, the same for every side.

- *task*: ``bare.delay(number)``, a plain Celery task with ``ignore_result``.
- *chord*: a chord of three header tasks and a body, with Redis as the result backend. The events
  arrive as they do in that model: each is a task that somebody starts and a worker runs.
- *join*: three triggers fired one after the other into a session that is configured already, in a
  transaction each; the third starts one task. The events arrive as they do in this model: as news,
  from a single process here. The task and its cascade are recorded by the worker, in two
  transactions more. The store is SQLite with ``synchronous=NORMAL``, which like Redis keeps what a
  dead process had committed.
- *join, FULL*: the same, each commit synced to disk, as ``SqliteStorage`` does unless told not to.
- *join, at once*: the three triggers in one transaction, by ``fire_many``.
- *by hand*; *by hand, FULL*: the same three events, claim and end by ``joins_by_hand.py``, which is
  the least that does it: no configuration, retry, lease or recovery.
- *join, configured*: *join*, with ``update_configuration`` for each session while the clock runs.
- *tasks, join*: what a chord does, by triggers: three tasks, whose ends start a fourth.

**CPU.** Of this process and the worker's, for one of N, over all rounds: what of a busy machine's
noise is left. Not Redis' own. By Linux' ``/proc``.

**Latency.** One at a time, in an idle worker, alternating, five times as many of each as in a
round: from just before ``delay`` to the bare task's first line, and from just before the *last* of
the three fires to the join's, with ``NORMAL``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import celery_joins_app as joins
from celery import chord
from celery.result import AsyncResult
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from triggers_core import SqliteStorage, TriggerManager, default_plugins

DEADLINE_SECONDS = 300
LATENCIES = 5
"""For each join of a round."""
RESULTS = Path(__file__).with_name("results") / "celery_joins.json"
EVENTS = ("paid", "packed", "picked_up")

JOIN = {"t_join": {"after": list(EVENTS), "run": "joins.join"}}
TIMED_JOIN = {"t_join": {"after": list(EVENTS), "run": "joins.timed_join"}}
STEPS_AND_JOIN = {
    **{f"t_{event}": {"after": ["start"], "run": "joins.step"} for event in EVENTS},
    "t_join": {"after": [f"t_{event}" for event in EVENTS], "run": "joins.join"},
}
"""What a chord is: three tasks, and one when all have ended."""

Prepare = Callable[[int], Callable[[], None]]
"""Takes N and does what comes before the clock; returns what the clock measures."""

chords: list[AsyncResult] = []


@dataclass(frozen=True)
class Ratio:
    """A row set against another, and what it is hoped to reach; None where it only informs."""

    name: str
    side: str
    base: str
    target: float | None = None


def sides(stores: dict[str, SqliteStorage], folder: str) -> dict[str, Prepare]:
    full, normal = stores["FULL"], stores["NORMAL"]
    return {
        "task": send_bare,
        "chord": send_chords,
        "join": fire_each(normal),
        "join, FULL": fire_each(full),
        "join, at once": fire_at_once(normal),
        "join, configured": configure_too(normal),
        "by hand": count_each(folder, "NORMAL"),
        "by hand, FULL": count_each(folder, "FULL"),
        "tasks, join": fire_start(normal),
    }


RATIOS = [
    Ratio("join of 3 / bare task", "join", "task", 0.8),
    Ratio("… each commit synced to disk", "join, FULL", "task", 0.8),
    Ratio("… the 3 fired at once", "join, at once", "task"),
    Ratio("… its session configured too", "join, configured", "task"),
    Ratio("join of 3 / chord of 3", "join", "chord", 2.0),
    Ratio("… each commit synced to disk", "join, FULL", "chord", 2.0),
    Ratio("join of 3 / by hand", "join", "by hand"),
    Ratio("… each commit synced to disk", "join, FULL", "by hand, FULL"),
    Ratio("by hand / bare task", "by hand", "task"),
    Ratio("… each commit synced to disk", "by hand, FULL", "task"),
    Ratio("three tasks and a join / chord of 3", "tasks, join", "chord"),
]


def send_bare(count: int) -> Callable[[], None]:
    def send() -> None:
        for number in range(count):
            joins.bare.delay(number)

    return send


def send_chords(count: int) -> Callable[[], None]:
    def send() -> None:
        for number in range(count):
            chords.append(chord([joins.header.s(number) for _ in EVENTS])(joins.body.s()))

    return send


def forget_chords() -> None:
    while chords:
        body = chords.pop()
        body.parent.forget()
        body.forget()


def fire_each(store: SqliteStorage) -> Prepare:
    def prepare(count: int) -> Callable[[], None]:
        managers = sessions(store, count, JOIN)

        def fire() -> None:
            for number, manager in enumerate(managers):
                for event in EVENTS:
                    manager.fire(event, {"number": number})

        return fire

    return prepare


def count_each(folder: str, synchronous: str) -> Prepare:
    store = joins.cases(folder, synchronous)
    store.create()

    def prepare(count: int) -> Callable[[], None]:
        uids = list(session_uids(count))

        def arrive() -> None:
            for number, uid in enumerate(uids):
                for event in EVENTS:
                    if store.arrive(uid, event, {"number": number}, awaited=len(EVENTS)):
                        joins.by_hand.delay(synchronous, uid)

        return arrive

    return prepare


def fire_at_once(store: SqliteStorage) -> Prepare:
    def prepare(count: int) -> Callable[[], None]:
        managers = sessions(store, count, JOIN)

        def fire() -> None:
            for number, manager in enumerate(managers):
                manager.fire_many([(event, {"number": number}) for event in EVENTS])

        return fire

    return prepare


def configure_too(store: SqliteStorage) -> Prepare:
    def prepare(count: int) -> Callable[[], None]:
        uids = list(session_uids(count))

        def fire() -> None:
            for number, uid in enumerate(uids):
                manager = TriggerManager(uid, storage=store)
                manager.update_configuration(JOIN)
                for event in EVENTS:
                    manager.fire(event, {"number": number})

        return fire

    return prepare


def fire_start(store: SqliteStorage) -> Prepare:
    def prepare(count: int) -> Callable[[], None]:
        managers = sessions(store, count, STEPS_AND_JOIN)

        def fire() -> None:
            for number, manager in enumerate(managers):
                manager.fire("start", {"number": number})

        return fire

    return prepare


def sessions(store: SqliteStorage, count: int, configuration: dict) -> list[TriggerManager]:
    managers = [TriggerManager(uid, storage=store) for uid in session_uids(count)]
    for manager in managers:
        manager.update_configuration(configuration)
    return managers


def session_uids(count: int) -> Iterator[str]:
    prefix = os.urandom(6).hex()
    return (f"{prefix}-{number}" for number in range(count))


def measure(name: str, prepare: Prepare, count: int, worker_pid: int) -> dict[str, float]:
    """Return how long sending took, how long until the last of the tasks had run, and the CPU."""
    send = prepare(count)
    gc.collect()  # so that none pays for another's garbage
    joins.redis_client().set(joins.LEFT, count)
    used_before = cpu_seconds(worker_pid)
    start = time.perf_counter()
    send()
    sent = time.perf_counter()
    wait_for(joins.DONE, name)
    ended = time.perf_counter()
    used = cpu_seconds(worker_pid) - used_before
    forget_chords()
    return {
        "sent_s": sent - start,
        "ended_s": ended - start,
        "per_s": count / (ended - start),
        "cpu_ms": 1000 * used / count,
    }


def cpu_seconds(worker_pid: int) -> float:
    """Return what this process, the worker and its children have used so far."""
    children = Path(f"/proc/{worker_pid}/task/{worker_pid}/children").read_text().split()
    return sum(map(used_by, (os.getpid(), worker_pid, *children)))


def used_by(pid: int | str) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def latencies(store: SqliteStorage, count: int) -> dict[str, dict[str, float]]:
    """Return percentiles of the seconds until a task starts: a bare one, and a join's."""
    managers = sessions(store, count, TIMED_JOIN)
    seconds: dict[str, list[float]] = {"delay → start": [], "last fire → start": []}
    for number, manager in enumerate(managers):
        for event in EVENTS[:-1]:
            manager.fire(event, {"number": number})
        began = time.monotonic()
        joins.timed.delay()
        seconds["delay → start"].append(wait_for(joins.STARTED, "task") - began)
        began = time.monotonic()
        manager.fire(EVENTS[-1], {"number": number})
        seconds["last fire → start"].append(wait_for(joins.STARTED, "join") - began)
    return {name: percentiles(values) for name, values in seconds.items()}


def percentiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50_ms": 1000 * cuts[49], "p99_ms": 1000 * cuts[98]}


def wait_for(key: str, what: str) -> float:
    """Wait for a task to say the word; return the number that it says."""
    found = joins.redis_client().blpop([key], timeout=DEADLINE_SECONDS)
    if found is None:
        raise SystemExit(f"{what}: not all had run after {DEADLINE_SECONDS} s")
    return float(found[1])


@contextmanager
def worker(app_module: str, environment: Mapping[str, str], concurrency: int = 2) -> Iterator[int]:
    """Start a worker of the app; give its process id; stop it."""
    here = str(Path(__file__).parent)
    command = [sys.executable, "-m", "celery", "-A", app_module, "worker"]
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
    process = subprocess.Popen(
        [*command, "--pool", "prefork", "--concurrency", str(concurrency), *options],
        env={**os.environ, "PYTHONPATH": here, **environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def empty_redis() -> Iterator[None]:
    if joins.redis_client().dbsize():
        raise SystemExit(
            f"{joins.REDIS_URL} is not empty, and this run would empty it; "
            f"name another database in {joins.REDIS_VARIABLE}"
        )
    try:
        yield
    finally:
        joins.redis_client().flushdb()


def spread(values: list[float]) -> dict[str, float]:
    lower, median, upper = statistics.quantiles(values, n=4)
    return {"lower": lower, "median": median, "upper": upper}


def summary(rounds: list[dict[str, dict[str, float]]]) -> dict:
    rates = {
        name: {
            **spread([measured[name]["per_s"] for measured in rounds]),
            "cpu_ms": statistics.mean(measured[name]["cpu_ms"] for measured in rounds),
        }
        for name in rounds[0]
    }
    ratios = [
        {
            **vars(ratio),
            **spread([each[ratio.side]["per_s"] / each[ratio.base]["per_s"] for each in rounds]),
            "cpu": cpu_ratio(rates[ratio.base], rates[ratio.side]),
        }
        for ratio in RATIOS
    ]
    return {"rates_per_s": rates, "ratios": ratios}


def cpu_ratio(base: dict, side: dict) -> float | None:
    """Return None where so little was run that the clock, of 10 ms, did not move."""
    return base["cpu_ms"] / side["cpu_ms"] if side["cpu_ms"] else None


def show(found: dict) -> None:
    rates = table("", "per second", "quartiles", "CPU, ms")
    for name, rate in found["rates_per_s"].items():
        cpu = f"{rate['cpu_ms']:.2f}"
        rates.add_row(name, f"{rate['median']:.0f}", quartiles(rate, 0), cpu)
    ratios = table("", "rates", "quartiles", "hoped for", "by CPU")
    for ratio in found["ratios"]:
        hoped = "" if ratio["target"] is None else f"≥ {ratio['target']}"
        cpu = "" if ratio["cpu"] is None else f"{ratio['cpu']:.2f}"
        ratios.add_row(ratio["name"], f"{ratio['median']:.2f}", quartiles(ratio, 2), hoped, cpu)
    latency = table("", "p50, ms", "p99, ms")
    for name, cuts in found["latency"].items():
        latency.add_row(name, f"{cuts['p50_ms']:.1f}", f"{cuts['p99_ms']:.1f}")
    for each in (rates, ratios, latency):
        Console(width=100).print(each)


def table(*columns: str) -> Table:
    made = Table(box=SIMPLE)
    for column in columns:
        made.add_column(column, no_wrap=True)
    return made


def quartiles(values: dict, digits: int) -> str:
    return f"{values['lower']:.{digits}f} – {values['upper']:.{digits}f}"


def environment(arguments: argparse.Namespace) -> dict:
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "redis": joins.redis_client().info("server")["redis_version"],
        **{name: metadata.version(name) for name in ("celery", "kombu", "redis")},
        "plugins": default_plugins().plugin_names(),
        **{name: value for name, value in vars(arguments).items() if name != "json"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="of each side, in each round")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=2, help="of the worker, in processes")
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file for the results")
    arguments = parser.parse_args()
    with empty_redis(), tempfile.TemporaryDirectory() as folder:
        stores = joins.storages(folder)
        compared = list(sides(stores, folder).items())
        variables = {joins.FOLDER_VARIABLE: folder}
        with worker("celery_joins_app", variables, arguments.concurrency) as pid:
            for side in compared:
                measure(*side, arguments.count, pid)
            rounds = []
            for number in range(arguments.rounds):
                first = number % len(compared)
                turn = compared[first:] + compared[:first]
                rounds.append({side[0]: measure(*side, arguments.count, pid) for side in turn})
                print(f"round {number + 1} of {arguments.rounds}", flush=True)
            latency = latencies(stores["NORMAL"], LATENCIES * arguments.count)
        found = {
            "environment": environment(arguments),
            **summary(rounds),
            "latency": latency,
            "rounds": rounds,
        }
    show(found)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1, ensure_ascii=False))
    print(f"\nwritten to {arguments.json}")


if __name__ == "__main__":
    main()
