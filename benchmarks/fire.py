"""A fire against the same reads and writes done by hand with the driver.

By hand, each transaction begins, looks up the session and who waits for the trigger, then inserts
the instance (after asking for its number and for the other trigger's kwargs) or updates it, keeps
what it waits for and the trigger's kwargs, and commits. What is written lies ready as text: there
is no rule, no check, no JSON and no dispatch. Schema and durability are the same on both sides.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
from measure import Pair, Scale, Skipped, Subject, Target
from sessions import KWARGS, POSTGRESQL, new_session, postgres_storage, why_no_postgres

from triggers_core import MemoryStorage, SqliteStorage, TaskInstance, TriggerManager
from triggers_core.storage import Storage
from triggers_core.storage.row import COLUMNS, encode_instance
from triggers_postgres import PostgresStorage
from triggers_postgres.statements import Statements

JOIN = {"joined": {"after": ["asked", "answered"], "run": "none"}}
"""``asked`` makes an instance, which waits; ``answered`` schedules it. A session for each join."""

JOINS = 10
KWARGS_TEXT = json.dumps(KWARGS, separators=(",", ":"))

ByHand = Callable[[Iterable[str]], None]
"""Writes a join in each of the sessions."""


def subjects(scale: Scale) -> Iterator[Subject | Skipped]:
    joins = scale.count(JOINS)
    storage = MemoryStorage()
    yield fires("fire, memory", storage, storage_alone(storage), joins, seconds=6)
    for synchronous, at_least, seconds in (("FULL", 0.6, 16), ("NORMAL", None, 8)):
        name = f"fire, SQLite {synchronous}"
        storage = SqliteStorage(scale.folder / f"{name}.db", synchronous=synchronous)
        by_hand = sqlite_by_hand(storage, synchronous)
        yield fires(name, storage, by_hand, joins, at_least=at_least, seconds=seconds)
        storage.close()
    if reason := why_no_postgres():
        yield Skipped("fire, PostgreSQL", reason)
        return
    with postgres_storage() as storage, psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        by_hand = postgres_by_hand(storage, connection)
        yield fires("fire, PostgreSQL", storage, by_hand, joins, at_least=0.7, seconds=16)


def fires(
    name: str,
    storage: Storage,
    by_hand: ByHand,
    joins: int,
    *,
    at_least: float | None = None,
    seconds: float = 10.0,
) -> Subject:
    fired, written = new_session(storage, JOIN), new_session(storage, JOIN)
    fire_join(fired)
    by_hand([written.session_uid])
    assert described(fired) == described(written), "the two sides wrote different rows"

    def fire() -> Callable[[], None]:
        managers = [new_session(storage, JOIN) for _ in range(joins)]
        return lambda: fire_joins(managers)

    def write() -> Callable[[], None]:
        uids = [new_session(storage, JOIN).session_uid for _ in range(joins)]
        return lambda: by_hand(uids)

    target = None if at_least is None else Target(at_least=at_least)
    return Subject(
        name,
        {"fire": fire, "by hand": write},
        [Pair("fires / the same by hand", "fire", "by hand", target)],
        count=2 * joins,
        seconds=seconds,
    )


def fire_joins(managers: Iterable[TriggerManager]) -> None:
    for manager in managers:
        fire_join(manager)


def fire_join(manager: TriggerManager) -> None:
    manager.fire("asked", KWARGS)
    manager.fire("answered", KWARGS)


def described(manager: TriggerManager) -> list[TaskInstance]:
    """Return the session's instances without what differs from one to the next."""
    return [
        replace(
            instance,
            session_uid="",
            created_at=0.0,
            changed_at=0.0,
            recover_at=None,
            metadata={**instance.metadata, "times": sorted(instance.metadata.get("times", {}))},
        )
        for instance in manager.instances()
    ]


def after_each_trigger() -> tuple[TaskInstance, TaskInstance]:
    """Return the instance as it is once ``asked`` has fired, and once ``answered`` has."""
    manager = new_session(MemoryStorage(), JOIN)
    manager.fire("asked", KWARGS)
    waiting = manager.instance("joined#0")
    manager.fire("answered", KWARGS)
    return waiting, manager.instance("joined#0")


def storage_alone(storage: Storage) -> ByHand:
    """Return what does it with the storage's own transactions: memory has no driver."""
    waiting, scheduled = after_each_trigger()

    def write(uids: Iterable[str]) -> None:
        for uid in uids:
            write_asked(storage, uid, waiting)
            write_answered(storage, uid, scheduled)

    return write


def write_asked(storage: Storage, uid: str, waiting: TaskInstance) -> None:
    with storage.transaction(uid, "benchmark") as unit:
        unit.waiting_for("asked")
        unit.next_number("joined")
        unit.latest_kwargs(["answered"])
        unit.save(replace(waiting, session_uid=uid))
        unit.remember_trigger("asked", KWARGS, at=time.time())


def write_answered(storage: Storage, uid: str, scheduled: TaskInstance) -> None:
    with storage.transaction(uid, "benchmark") as unit:
        unit.waiting_for("answered")
        unit.save(replace(scheduled, session_uid=uid))
        unit.remember_trigger("answered", KWARGS, at=time.time())


# SQLite -------------------------------------------------------------------------------------------

FIND_SESSION = "SELECT id, config_digest FROM sessions WHERE uid = ?"
FIND_WAITING = (
    f"SELECT id, {', '.join(COLUMNS)} FROM waiting JOIN instances ON id = instance_id "
    "WHERE waiting.session_id = ? AND trigger_name = ? ORDER BY task_name, number"
)
LAST_NUMBER = (
    "SELECT number FROM instances WHERE session_id = ? AND task_name = ? "
    "ORDER BY number DESC LIMIT 1"
)
LATEST = "SELECT kwargs FROM triggers WHERE session_id = ? AND name = ?"
INSERT_INSTANCE = (
    f"INSERT INTO instances (session_id, {', '.join(COLUMNS)}) "
    f"VALUES (?, {', '.join('?' for _ in COLUMNS)})"
)
UPDATE_INSTANCE = (
    f"UPDATE instances SET {', '.join(f'{column} = ?' for column in COLUMNS[2:])} WHERE id = ?"
)
INSERT_WAITING = "INSERT INTO waiting (session_id, trigger_name, instance_id) VALUES (?, ?, ?)"
DELETE_WAITING = "DELETE FROM waiting WHERE session_id = ? AND trigger_name = ? AND instance_id = ?"
REMEMBER_TRIGGER = (
    "INSERT INTO triggers (session_id, name, kwargs, fired_at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET kwargs = excluded.kwargs, fired_at = excluded.fired_at"
)


def sqlite_by_hand(storage: SqliteStorage, synchronous: str) -> ByHand:
    waiting, scheduled = map(encode_instance, after_each_trigger())
    connection = sqlite3.connect(storage.path, isolation_level=None, timeout=30)
    connection.execute(f"PRAGMA synchronous = {synchronous}")

    def write(uids: Iterable[str]) -> None:
        execute = connection.execute
        for uid in uids:
            execute("BEGIN IMMEDIATE")
            session_id, _ = execute(FIND_SESSION, (uid,)).fetchone()
            execute(FIND_WAITING, (session_id, "asked")).fetchall()
            execute(LAST_NUMBER, (session_id, "joined")).fetchone()
            execute(LATEST, (session_id, "answered")).fetchone()
            instance_id = execute(INSERT_INSTANCE, (session_id, *waiting)).lastrowid
            execute(INSERT_WAITING, (session_id, "answered", instance_id))
            execute(REMEMBER_TRIGGER, (session_id, "asked", KWARGS_TEXT, time.time()))
            execute("COMMIT")

            execute("BEGIN IMMEDIATE")
            session_id, _ = execute(FIND_SESSION, (uid,)).fetchone()
            [(instance_id, *_)] = execute(FIND_WAITING, (session_id, "answered")).fetchall()
            execute(UPDATE_INSTANCE, (*scheduled[2:], instance_id))
            execute(DELETE_WAITING, (session_id, "answered", instance_id))
            execute(REMEMBER_TRIGGER, (session_id, "answered", KWARGS_TEXT, time.time()))
            execute("COMMIT")

    return write


# PostgreSQL ---------------------------------------------------------------------------------------


def postgres_by_hand(storage: PostgresStorage, connection: psycopg.Connection[Any]) -> ByHand:
    """Return what does it with psycopg, one statement after the other.

    The framework sends statements together where it can (pipeline mode), which saves network
    round trips; by hand and on one machine, the plain way is the faster one.
    """
    waiting, scheduled = map(encode_instance, after_each_trigger())
    do = Statements(storage.schema)
    lock = f'SELECT id FROM "{storage.schema}".sessions WHERE uid = %s FOR UPDATE'

    def write(uids: Iterable[str]) -> None:
        execute = connection.execute
        for uid in uids:
            execute("BEGIN")
            session_id, *_ = execute(lock, (uid,)).fetchone()
            execute(do.waiting, (session_id, "asked")).fetchall()
            execute(do.last_number, (session_id, "joined")).fetchone()
            execute(do.latest, (session_id, ["answered"])).fetchall()
            execute(do.save, (session_id, *waiting))
            execute(do.wait, (session_id, "joined", 0, ["answered"]))
            execute(do.remember, (session_id, "asked", KWARGS_TEXT, time.time(), False))
            execute("COMMIT")

            execute("BEGIN")
            session_id, *_ = execute(lock, (uid,)).fetchone()
            execute(do.waiting, (session_id, "answered")).fetchall()
            execute(do.save, (session_id, *scheduled))
            execute(do.wait_no_more, (session_id, "joined", 0, ["answered"]))
            execute(do.remember, (session_id, "answered", KWARGS_TEXT, time.time(), False))
            execute("COMMIT")

    return write
