"""A fire against the design that keeps each session as one JSON text.

The model of it is small and faithful in what costs: at each fire the whole session is loaded and
parsed, the instances are looked through, one is changed or added, and all is written back. It has
fewer checks than the framework and no dispatch.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import Pair, Prepare, Scale, Subject, Target
from sessions import (
    GROWING,
    KWARGS,
    LATE,
    add_incomplete,
    add_instances,
    fire_late,
    with_template,
)

from triggers_core import SqliteStorage
from triggers_core.storage.row import COLUMNS, encode_instance

SIZES = (100, 1_000)
TARGETS = {1_000: Target(at_least=10)}


def subjects(scale: Scale) -> Iterator[Subject]:
    for size, usual in zip(scale.sizes(*SIZES), SIZES, strict=True):
        yield subject(scale.folder, size, TARGETS.get(usual))


def subject(folder: Path, size: int, target: Target | None) -> Subject:
    storage = SqliteStorage(folder / f"rows-{size}.db")

    def fire() -> Callable[[], None]:
        filled = with_template(storage)
        add_instances(filled, size)
        managers = [filled.template] * LATE
        add_incomplete(managers, filled.waiting)
        return lambda: fire_late(managers)

    return Subject(
        "one text a session",
        {"rows": fire, "one text": blob_side(storage, folder / f"blob-{size}.db", size)},
        [Pair(f"fires at {size:,} instances / as one text", "rows", "one text", target)],
        count=2 * LATE,
        seconds=5,
    )


def blob_side(rows: SqliteStorage, path: Path, size: int) -> Prepare:
    filled = with_template(rows)
    add_instances(filled, size)
    add_incomplete([filled.template] * LATE, filled.waiting)
    session = {
        "configuration": GROWING,
        "triggers": {"asked": KWARGS},
        "instances": [
            dict(zip(COLUMNS, encode_instance(instance), strict=True))
            for instance in filled.template.instances()
        ],
    }
    text = json.dumps(session)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE sessions (uid TEXT PRIMARY KEY, body TEXT NOT NULL)")
    uids = iter(range(1_000_000))

    def prepare() -> Callable[[], None]:
        uid = str(next(uids))
        connection.execute("INSERT INTO sessions VALUES (?, ?)", (uid, text))

        def run() -> None:
            for number in range(LATE):
                for trigger_name in ("asked", f"late{number}"):
                    fire_into_text(connection, uid, trigger_name)

        return run

    return prepare


def fire_into_text(connection: sqlite3.Connection, uid: str, trigger_name: str) -> None:
    with loaded(connection, uid) as session:
        instances = session["instances"]
        has_taken = set()
        for instance in instances:
            waits_for = json.loads(instance["waits_for"])
            if instance["status"] == "unstarted" and trigger_name in waits_for:
                waits_for.remove(trigger_name)
                instance.update(waits_for=json.dumps(waits_for), changed_at=time.time())
                instance["status"] = "unstarted" if waits_for else "scheduled"
                has_taken.add(instance["task_name"])
        for task_name, directives in session["configuration"].items():
            if directives.get("andEvery") == trigger_name and task_name not in has_taken:
                last = max(i["number"] for i in instances if i["task_name"] == task_name)
                first = next(i for i in instances if i["task_name"] == task_name)
                instances.append({**first, "number": last + 1, "status": "scheduled"})
        session["triggers"][trigger_name] = KWARGS


@contextmanager
def loaded(connection: sqlite3.Connection, uid: str) -> Iterator[dict[str, Any]]:
    """Give the session, and write it back."""
    connection.execute("BEGIN IMMEDIATE")
    query = "SELECT body FROM sessions WHERE uid = ?"
    session = json.loads(connection.execute(query, (uid,)).fetchone()[0])
    yield session
    text = json.dumps(session)
    connection.execute("UPDATE sessions SET body = ? WHERE uid = ?", (text, uid))
    connection.execute("COMMIT")
