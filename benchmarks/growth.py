"""A fire as its session grows and as the store does, and the memory of the process that fires.

In a run, half of the fires make an instance and half complete one. Each size is a store of its own,
filled by SQL. Commits do not wait for the disk (``synchronous = NORMAL`` on SQLite,
``synchronous_commit = off`` on PostgreSQL), so that what is left to see is the work.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

from measure import Pair, Prepare, Scale, Skipped, Subject, Target, cost
from sessions import (
    LATE,
    Filled,
    add_incomplete,
    add_instances,
    add_sessions,
    fire_late,
    postgres_storage,
    why_no_postgres,
    with_template,
)

from triggers_core import MemoryStorage, SqliteStorage, TriggerManager
from triggers_core.storage import Storage

FLAT = Target(at_most=1.2)
INSTANCES = (100, 1_000, 10_000, 100_000)
SESSIONS = (100, 10_000, 1_000_000)
SESSIONS_ON_POSTGRESQL = (100, 10_000, 100_000)
"""Filling in a million takes a minute there."""

STAYS_ITS_SIZE = 2_000
"""Instances from which on a session may keep what all rounds add to it."""
MOST_ROUNDS = 40

NewStorage = Callable[[], Storage]


def subjects(scale: Scale) -> Iterator[Subject | Skipped]:
    numbers = count()

    def sqlite() -> Storage:
        return SqliteStorage(scale.folder / f"growth-{next(numbers)}.db", synchronous="NORMAL")

    instances = scale.sizes(*INSTANCES)
    yield in_session("memory", MemoryStorage, instances)
    yield in_session("SQLite", sqlite, instances)
    stores = filled_stores(sqlite, scale.sizes(*SESSIONS))
    yield in_store("SQLite", stores)
    yield from memory(stores, scale)
    for store in stores.values():
        store.storage.close()
        Path(store.storage.path).unlink()
    if reason := why_no_postgres():
        yield Skipped("growth, PostgreSQL", reason)
        return
    with ExitStack() as stack:

        def postgres() -> Storage:
            return stack.enter_context(postgres_storage(synchronous_commit="off"))

        yield in_session("PostgreSQL", postgres, instances)
        stores = filled_stores(postgres, scale.sizes(*SESSIONS_ON_POSTGRESQL))
        yield in_store("PostgreSQL", stores)


def in_session(storage_name: str, new_storage: NewStorage, sizes: tuple[int, ...]) -> Subject:
    def side(size: int) -> Prepare:
        storage = new_storage()

        def new() -> Filled:
            filled = with_template(storage)
            add_instances(filled, size)
            return filled

        kept = new()
        fresh = (lambda: kept) if size >= STAYS_ITS_SIZE else new

        def prepare() -> Callable[[], None]:
            filled = fresh()
            storage.close()  # as filling does, so that all sizes have a connection as new
            return late([filled.template] * LATE, filled)

        return prepare

    return growth(storage_name, "instances in the session", {size: side(size) for size in sizes})


def filled_stores(new_storage: NewStorage, sizes: tuple[int, ...]) -> dict[int, Filled]:
    stores = {size: with_template(new_storage()) for size in sizes}
    for size, filled in stores.items():
        add_sessions(filled, size)
    return stores


def in_store(storage_name: str, stores: Mapping[int, Filled]) -> Subject:
    def side(size: int) -> Prepare:
        filled, chance = stores[size], random.Random(size)

        def prepare() -> Callable[[], None]:
            managers = [filled.manager(chance.randrange(size)) for _ in range(LATE)]
            return late(managers, filled)

        return prepare

    return growth(storage_name, "sessions in the store", {size: side(size) for size in stores})


def late(managers: list[TriggerManager], filled: Filled) -> Callable[[], None]:
    add_incomplete(managers, filled.waiting)
    with_template(filled.storage)  # warms the connection and its statements
    return partial(fire_late, managers)


def growth(storage_name: str, what: str, sides: Mapping[int, Prepare]) -> Subject:
    smallest, *larger = sides
    return Subject(
        f"growth, {storage_name}",
        {str(size): prepare for size, prepare in sides.items()},
        [
            Pair(
                f"a fire at {size:,} {what} / {smallest:,}",
                str(size),
                str(smallest),
                FLAT,
                cost,
                size,
            )
            for size in larger
        ],
        count=2 * LATE,
        seconds=10,
        most_rounds=MOST_ROUNDS,
        curve=(what, storage_name),
    )


# Memory of the process ----------------------------------------------------------------------------

FEW, MANY = 500, 5_000
"""Fires of a process before it says how much memory it has."""

FIRE_AND_TELL = """
import random, sys
sys.path.insert(0, sys.argv[1])
from sessions import FIRST, KWARGS, Manager, PLUGINS
from triggers_core import SqliteStorage
storage = SqliteStorage(sys.argv[2], synchronous="NORMAL")
size, fires = int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(fires)
for _ in range(fires):
    uid = f"s{FIRST + chance.randrange(size)}"
    Manager(uid, storage=storage, plugins=PLUGINS).fire("asked", KWARGS)
for line in open("/proc/self/status"):
    if line.startswith("VmRSS:"):
        print(int(line.split()[1]) / 1024)
"""


def memory(stores: Mapping[int, Filled], scale: Scale) -> Iterator[Subject | Skipped]:
    if not Path("/proc/self/status").exists():
        yield Skipped("memory", "/proc/self/status is not there to ask")
        return
    smallest, *_, largest = stores

    def side(size: int, fires: int) -> Prepare:
        def run() -> float:
            path = str(stores[size].storage.path)
            command = [sys.executable, "-c", FIRE_AND_TELL, str(Path(__file__).parent), path]
            told = subprocess.run(
                [*command, str(size), str(fires)], check=True, capture_output=True, text=True
            )
            return float(told.stdout)

        return lambda: run

    yield Subject(
        "memory of the process",
        {
            "few": side(smallest, scale.count(FEW)),
            "many": side(smallest, scale.count(MANY)),
            "large": side(largest, scale.count(MANY)),
        },
        [
            Pair(f"after {MANY:,} fires / {FEW:,}", "many", "few", FLAT, cost),
            Pair(f"of {largest:,} sessions / {smallest:,}", "large", "many", FLAT, cost),
        ],
        seconds=0,
        unit="MB",
    )
