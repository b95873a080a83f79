"""A fire of a counted trigger, as the number of those that were counted before grows.

An instance takes each of them and waits on. The smaller sessions are made anew for each round, so
that they stay as small. Commits do not wait for the disk, as in ``growth``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

from growth import FLAT, MOST_ROUNDS, STAYS_ITS_SIZE
from measure import Pair, Prepare, Scale, Skipped, Subject, cost
from sessions import KWARGS, postgres_storage, why_no_postgres, with_firings

from triggers_core import MemoryStorage, SqliteStorage, TriggerManager
from triggers_core.storage import Storage

COUNTED = (10, 100_000)
"""Firings that the instance has taken."""
FIRES = 20


def subjects(scale: Scale) -> Iterator[Subject | Skipped]:
    numbers = count()

    def sqlite() -> Storage:
        return SqliteStorage(scale.folder / f"counted-{next(numbers)}.db", synchronous="NORMAL")

    sizes = scale.sizes(*COUNTED)
    yield counted("memory", MemoryStorage, sizes)
    yield counted("SQLite", sqlite, sizes)
    if reason := why_no_postgres():
        yield Skipped("counted firings, PostgreSQL", reason)
        return
    with ExitStack() as stack:

        def postgres() -> Storage:
            return stack.enter_context(postgres_storage(synchronous_commit="off"))

        yield counted("PostgreSQL", postgres, sizes)


def counted(
    storage_name: str, new_storage: Callable[[], Storage], sizes: tuple[int, ...]
) -> Subject:
    few, many = map(str, sizes)
    return Subject(
        f"counted firings, {storage_name}",
        {str(size): _side(new_storage(), size) for size in sizes},
        [Pair(f"a fire at {sizes[1]:,} counted / {few}", many, few, FLAT, cost)],
        count=FIRES,
        most_rounds=MOST_ROUNDS,
    )


def _side(storage: Storage, size: int) -> Prepare:
    kept = with_firings(storage, size)

    def prepare() -> Callable[[], None]:
        manager = kept if size >= STAYS_ITS_SIZE else with_firings(storage, size)
        storage.close()  # as filling does, so that both sizes have a connection as new
        manager.configuration()
        return lambda: fire(manager)

    return prepare


def fire(manager: TriggerManager) -> None:
    for _ in range(FIRES):
        manager.fire("photo", KWARGS)
