"""A thousand photos, a task for each, and one task when all have ended: against a chord as large.

One Redis, one prefork worker, one run; rounds go through the sides in turn, and a ratio is taken
within its round. The clock runs from the first call in this process until the last task has run in
the worker.

- *chord*: a chord of a thousand header tasks and a body, with Redis as the result backend. It has
  to know the number when it is made.
- *SQLite*, *PostgreSQL*: a session whose ``combine`` counts the ends of ``assess``. The photos are
  fired at once, and the number after them, which nobody knew before. SQLite is ``NORMAL``.

Memory is the worker's, its children included, after each round: it is to stay as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import celery_joins_app as joins
from celery import chord
from celery_joins import (
    chords,
    empty_redis,
    measure,
    quartiles,
    session_uids,
    spread,
    table,
    worker,
)
from rich.console import Console
from sessions import POSTGRESQL, postgres_storage, why_no_postgres

from triggers_core import TriggerManager
from triggers_core.storage import Storage

RESULTS = Path(__file__).with_name("results") / "photos.json"
CASE = {
    "assess": {"andEvery": "photo", "run": "joins.assess"},
    "combine": {
        "after": [{"each": "assess", "times": {"from": "photos_listed", "key": "count"}}],
        "run": "joins.join",
    },
}


def send_chord(photos: int) -> Callable[[int], Callable[[], None]]:
    def prepare(_count: int) -> Callable[[], None]:
        return lambda: chords.append(
            chord([joins.header.s(number) for number in range(photos)])(joins.body.s())
        )

    return prepare


def fire_photos(storage: Storage, photos: int) -> Callable[[int], Callable[[], None]]:
    def prepare(_count: int) -> Callable[[], None]:
        (uid,) = session_uids(1)
        manager = TriggerManager(uid, storage=storage)
        manager.update_configuration(CASE)

        def fire() -> None:
            manager.fire_many([("photo", {"number": number}) for number in range(photos)])
            manager.fire("photos_listed", {"count": photos})

        return fire

    return prepare


def resident_megabytes(worker_pid: int) -> float:
    """Return what the worker and its children have in memory."""
    children = Path(f"/proc/{worker_pid}/task/{worker_pid}/children").read_text().split()
    pages = sum(
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in (worker_pid, *children)
    )
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def compared(sides: dict[str, Any], rounds: int, pid: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    memory: list[float] = []
    for number in range(rounds + 1):
        for name, prepare in sides.items():
            found = measure(name, prepare, 1, pid)
            if number:  # the first warms up
                seconds[name].append(found["ended_s"])
        if number:
            memory.append(resident_megabytes(pid))
        print(f"round {number} of {rounds}", flush=True)
    return {
        "seconds": seconds,
        "memory_mb": memory,
        "ratios": {
            name: spread([one / other for one, other in zip(seconds["chord"], values, strict=True)])
            for name, values in seconds.items()
        },
    }


def show(found: dict[str, Any], photos: int) -> None:
    rows = table("", "seconds", "as fast as the chord", "quartiles")
    for name, values in found["seconds"].items():
        ratio = found["ratios"][name]
        median = f"{statistics.median(values):.2f}"
        rows.add_row(name, median, f"{ratio['median']:.2f}", quartiles(ratio, 2))
    Console(width=100).print(f"{photos:,} photos, out and in", rows)
    first, last = found["memory_mb"][0], found["memory_mb"][-1]
    print(f"the worker's memory: {first:.0f} MB after the first round, {last:.0f} after the last")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file for the results")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        stack.enter_context(empty_redis())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        variables = {joins.FOLDER_VARIABLE: folder}
        sides = {
            "chord": send_chord(arguments.photos),
            "SQLite": fire_photos(joins.storages(folder)["NORMAL"], arguments.photos),
        }
        if reason := why_no_postgres():
            print(f"without PostgreSQL: {reason}")
        else:
            postgres = stack.enter_context(postgres_storage(alias=joins.POSTGRESQL))
            url = f"{POSTGRESQL}{'&' if '?' in POSTGRESQL else '?'}schema={postgres.schema}"
            variables[joins.POSTGRESQL_VARIABLE] = url
            sides["PostgreSQL"] = fire_photos(postgres, arguments.photos)
        pid = stack.enter_context(worker("celery_joins_app", variables))
        found = compared(sides, arguments.rounds, pid)
    show(found, arguments.photos)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1))
    print(f"\nwritten to {arguments.json}")


if __name__ == "__main__":
    main()
