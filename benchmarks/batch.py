"""``fire_many`` against ``fire`` for each: the same triggers into a session, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from measure import Pair, Scale, Subject, Target
from sessions import KWARGS, new_session

from triggers_core import SqliteStorage, TriggerManager

TRIGGERS = 100
CONFIGURATION = {"handled": {"after": ["came"], "andEvery": "came", "run": "none"}}


def subjects(scale: Scale) -> Iterator[Subject]:
    count = scale.count(TRIGGERS)
    for synchronous, target in (("FULL", Target(at_least=5)), ("NORMAL", None)):
        path = scale.folder / f"batch-{synchronous}.db"
        storage = SqliteStorage(path, synchronous=synchronous)
        yield subject(f"batch, SQLite {synchronous}", storage, count, target)
        storage.close()


def subject(name: str, storage: SqliteStorage, count: int, target: Target | None) -> Subject:
    firings = [("came", KWARGS)] * count

    def many() -> Callable[[], None]:
        manager = new_session(storage, CONFIGURATION)

        def run() -> None:
            manager.fire_many(firings)

        return run

    def single() -> Callable[[], None]:
        manager = new_session(storage, CONFIGURATION)
        return lambda: fire_each(manager)

    def fire_each(manager: TriggerManager) -> None:
        for firing in firings:
            manager.fire(*firing)

    return Subject(
        name,
        {"fire_many": many, "fire": single},
        [Pair(f"{count} triggers at once / one by one", "fire_many", "fire", target)],
        count=count,
        seconds=6,
    )
