"""A real log, replayed on each storage and runner: triggers a second, and whether it ends right.

FOLDER holds ``permits.csv`` (session, trigger, and whatever its kwargs are), ``permits.json`` (the
configuration, the same for each session) and ``permits.expected.json`` (how many instances of each
task are to end in which status). Every task returns ``{}``.

In the log, what a trigger leads to is over before its session's next trigger. Threads are waited
for after each trigger. Workers are waited for after each round, of one trigger in every session
that has one left: so they work while the triggers are fired, as they would in earnest. The clock
runs from the first configuration to the end of the last task.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import permits_app
from celery_joins import empty_redis, table, worker
from rich.console import Console
from sessions import POSTGRESQL, postgres_storage

from triggers_celery import CeleryTaskRunner
from triggers_core import MemoryStorage, Plugins, SqliteStorage, TriggerManager, trigger_task
from triggers_core.hookspecs import hookimpl
from triggers_core.storage import Storage
from triggers_threading import ThreadingTaskRunner

Log = dict[str, list[tuple[str, dict[str, str]]]]
"""Session uid → its triggers with their kwargs, in the order of the file."""

Counts = dict[str, dict[str, int]]
"""Task → status → how many instances."""

Opened = Callable[[], AbstractContextManager[tuple[Storage, str]]]
"""Gives an empty store, and the URL by which a worker opens it too."""

Replay = Callable[[Storage, str, Log, dict], tuple[float, Counts]]
"""Takes an opened store, its URL, the log and its configuration; returns the seconds it took, and
what the store holds in the end."""

POLL_SECONDS = 0.002


class OnThreads(TriggerManager):
    name = "permits-on-threads"
    default_task_runner_name = "threading"


class PermitTasks:
    @hookimpl
    def triggers_resolve_task(self) -> Any:
        return trigger_task(lambda _context: {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, help="only the first so many")
    parser.add_argument("--only", default="", help="a part of a name, 'SQLite' or 'Celery'")
    options = parser.parse_args()
    log = dict(list(read(options.folder / "permits.csv").items())[: options.sessions])
    configuration = json.loads((options.folder / "permits.json").read_text("utf-8"))
    expected = json.loads((options.folder / "permits.expected.json").read_text("utf-8"))
    fired = sum(map(len, log.values()))
    shown = table("", "triggers", "seconds", "triggers/s", "ends right")
    wrong = []
    for name, (opened, replay) in REPLAYS.items():
        if options.only not in name:
            continue
        with opened() as (storage, url):
            seconds, counts = replay(storage, url, log, configuration)
        right = ""
        if not options.sessions:
            right = "yes" if counts == expected["instances"] else "NO"
        if right == "NO":
            wrong.append(name)
        shown.add_row(name, f"{fired:,}", f"{seconds:.1f}", f"{fired / seconds:,.0f}", right)
    Console(width=100).print(shown)
    if wrong:
        sys.exit(f"not as {options.folder / 'permits.expected.json'} says: {'; '.join(wrong)}")


def read(path: Path) -> Log:
    log: Log = {}
    with path.open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            log.setdefault(row.pop("session"), []).append((row.pop("trigger"), row))
    return log


def on_threads(storage: Storage, _url: str, log: Log, configuration: dict) -> tuple[float, Counts]:
    plugins = Plugins(load_entry_points=False)
    threads = ThreadingTaskRunner()
    plugins.use_runner(threads)
    plugins.register(PermitTasks())
    managers = {uid: OnThreads(uid, storage=storage, plugins=plugins) for uid in log}
    began = time.perf_counter()
    for uid, firings in log.items():
        managers[uid].update_configuration(configuration)
        for firing in firings:
            managers[uid].fire(*firing)
            threads.join_all(timeout=60)
    return time.perf_counter() - began, counted(managers.values())


def on_workers(storage: Storage, url: str, log: Log, configuration: dict) -> tuple[float, Counts]:
    permits_app.declare(configuration)
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(CeleryTaskRunner(permits_app.app))
    environment = {
        permits_app.CONFIGURATION_VARIABLE: json.dumps(configuration),
        "TRIGGERS_STORAGE": url,
    }
    managers = {uid: TriggerManager(uid, storage=storage, plugins=plugins) for uid in log}
    with empty_redis(), worker("permits_app", environment):
        settle([fire_first(storage, plugins, configuration)])
        began = time.perf_counter()
        for manager in managers.values():
            manager.update_configuration(configuration)
        for round_of_triggers in zip_longest(*log.values()):
            fired = []
            for manager, firing in zip(managers.values(), round_of_triggers, strict=True):
                if firing is not None:
                    manager.fire(*firing)
                    fired.append(manager)
            settle(fired)
        return time.perf_counter() - began, counted(managers.values())


def fire_first(storage: Storage, plugins: Plugins, configuration: dict) -> TriggerManager:
    """Start a task in a session of its own, so that the clock does not see the worker start."""
    manager = TriggerManager("first", storage=storage, plugins=plugins)
    manager.update_configuration(configuration)
    for trigger_name in next(iter(configuration.values()))["after"]:
        manager.fire(trigger_name)
    return manager


def settle(managers: Iterable[TriggerManager]) -> None:
    for manager in managers:
        while is_active(manager):
            time.sleep(POLL_SECONDS)


def is_active(manager: TriggerManager) -> bool:
    with manager.storage.read(manager.session_uid) as reader:
        return reader.is_active()


def counted(managers: Iterable[TriggerManager]) -> Counts:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for manager in managers:
        for instance in manager.instances():
            counts[instance.task_name][instance.status.value] += 1
    return {task: dict(found) for task, found in counts.items()}


@contextmanager
def memory() -> Iterator[tuple[Storage, str]]:
    yield MemoryStorage(), "memory:"


@contextmanager
def sqlite() -> Iterator[tuple[Storage, str]]:
    with tempfile.TemporaryDirectory() as folder:
        storage = SqliteStorage(Path(folder, "permits.db"))
        yield storage, f"sqlite:///{storage.path}"
        storage.close()


@contextmanager
def postgresql() -> Iterator[tuple[Storage, str]]:
    with postgres_storage() as storage:
        mark = "&" if "?" in POSTGRESQL else "?"
        yield storage, f"{POSTGRESQL}{mark}schema={storage.schema}"


REPLAYS: dict[str, tuple[Opened, Replay]] = {
    "memory, threads": (memory, on_threads),
    "SQLite, threads": (sqlite, on_threads),
    "SQLite, Celery on Redis": (sqlite, on_workers),
    "PostgreSQL, threads": (postgresql, on_threads),
    "PostgreSQL, Celery on Redis": (postgresql, on_workers),
}


if __name__ == "__main__":
    main()
