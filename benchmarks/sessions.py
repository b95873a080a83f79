"""What the benchmarks fire into: managers whose tasks wait and are never run, and whole stores
that are filled by SQL, as firing a million times would take too long."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from triggers_core import (
    BaseTaskRunner,
    MemoryStorage,
    Plugins,
    SqliteStorage,
    Status,
    TaskInstance,
    TriggerManager,
)
from triggers_core.storage import Storage
from triggers_core.storage.base import DEFAULT_ALIAS
from triggers_core.storage.row import COLUMNS
from triggers_postgres import PostgresStorage

POSTGRESQL_VARIABLE = "TRIGGERS_TEST_POSTGRESQL"
POSTGRESQL = os.environ.get(
    POSTGRESQL_VARIABLE, "postgresql://postgres@127.0.0.1:5432/test?connect_timeout=5"
)
KWARGS = {"at": "2026-01-31T12:00:00", "resource": "clerk 7"}


class NullRunner(BaseTaskRunner):
    """Accepts every instance and runs none: a fire is measured, and nothing that follows it."""

    name = "null"

    def run(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        pass


class Manager(TriggerManager):
    name = "benchmark"
    default_task_runner_name = "null"


def null_plugins(plugins_class: type[Plugins] = Plugins) -> Plugins:
    plugins = plugins_class(load_entry_points=False)
    plugins.use_runner(NullRunner())
    return plugins


PLUGINS = null_plugins()
_uids = (f"s{number}" for number in count())


def new_session(
    storage: Storage,
    configuration: Mapping[str, Any],
    plugins: Plugins = PLUGINS,
    manager_class: type[Manager] = Manager,
) -> TriggerManager:
    manager = manager_class(next(_uids), storage=storage, plugins=plugins)
    manager.update_configuration(configuration)
    return manager


@contextmanager
def postgres_storage(
    *, synchronous_commit: str = "on", alias: str = DEFAULT_ALIAS
) -> Iterator[PostgresStorage]:
    """Give a storage in a schema of its own, which is dropped in the end."""
    schema = f"triggers_bench_{uuid.uuid4().hex[:12]}"
    options = f"-c synchronous_commit={synchronous_commit}"
    conninfo = make_conninfo(POSTGRESQL, options=options)
    storage = PostgresStorage(conninfo, schema=schema, alias=alias)
    try:
        yield storage
    finally:
        storage.close()
        with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def why_no_postgres() -> str | None:
    """Return what to start where no PostgreSQL answers, else None."""
    try:
        psycopg.connect(POSTGRESQL).close()
    except psycopg.OperationalError as error:
        said = str(error).splitlines()[0]
        return f"no PostgreSQL ({said}); start one, or name it in {POSTGRESQL_VARIABLE}"
    return None


# Fires that cost alike, whatever surrounds them ---------------------------------------------------

LATE = 20
"""Instances that are completed in a run; as many are made."""
GROWING = {
    "asked_for": {"after": ["asked"], "andEvery": "asked", "run": "none"},
    "forgotten": {"after": ["never", "seldom"], "andEvery": "seldom", "run": "none"},
    **{f"completed{n}": {"after": [f"late{n}", "seldom"], "run": "none"} for n in range(LATE)},
}


def fire_late(managers: Sequence[TriggerManager]) -> None:
    """Make an instance and complete another, in each of :data:`LATE` sessions or in one."""
    for number, manager in enumerate(managers):
        manager.fire("asked", KWARGS)
        manager.fire(f"late{number}", KWARGS)


def add_incomplete(managers: Sequence[TriggerManager], waiting: TaskInstance) -> None:
    """Add what :func:`fire_late` completes, by the storage alone."""
    for number, manager in enumerate(managers):
        with manager.storage.transaction(manager.session_uid, manager.name) as unit:
            task_name = f"completed{number}"
            unit.save(
                replace(
                    waiting,
                    session_uid=manager.session_uid,
                    task_name=task_name,
                    number=unit.next_number(task_name),
                    waits_for=frozenset({f"late{number}"}),
                )
            )


# Whole stores -------------------------------------------------------------------------------------

FIRST = 10_000_000
"""Session number i has the uid ``s`` and this plus i: so they come in the order of the index."""

Execute = Callable[[str], Any]


@dataclass(frozen=True)
class Filled:
    """A store with a session whose instances the others are copies of."""

    storage: Storage
    template: TriggerManager
    waiting: TaskInstance

    def manager(self, number: int) -> TriggerManager:
        """Return the manager of one of the sessions that :func:`add_sessions` adds."""
        return Manager(f"s{FIRST + number}", storage=self.storage, plugins=PLUGINS)


def with_template(storage: Storage) -> Filled:
    """Return the store with one session, in which one instance is finished and one waits."""
    manager = new_session(storage, GROWING)
    manager.fire("asked", KWARGS)
    manager.fire("seldom", KWARGS)
    waiting = manager.instance("forgotten#0")
    fire_late([manager] * LATE)  # so that each trigger's latest kwargs are there to be replaced
    with storage.transaction(manager.session_uid, manager.name) as unit:
        for instance in unit.instances(statuses=[Status.SCHEDULED]):
            unit.save(replace(instance, status=Status.FINISHED, recover_at=None))
    return Filled(storage, manager, waiting)


def add_instances(filled: Filled, size: int) -> None:
    """Fill the template's session up: half are finished, half wait for what is never fired."""
    storage, uid = filled.storage, filled.template.session_uid
    if isinstance(storage, MemoryStorage):
        finished = filled.template.instance("asked_for#0")
        with storage.transaction(uid, filled.template.name) as unit:
            for number in range(LATE + 1, size // 2):
                unit.save(replace(finished, number=number))
                unit.save(replace(filled.waiting, number=number))
        return
    with _sql(storage) as execute:
        for task_name in ("asked_for", "forgotten"):
            values = ", ".join("i" if column == "number" else column for column in COLUMNS)
            execute(
                f"INSERT INTO instances (session_id, {', '.join(COLUMNS)}) "
                f"WITH RECURSIVE numbers (i) AS "
                f"(SELECT {LATE + 1} UNION ALL SELECT i + 1 FROM numbers WHERE i < {size // 2}) "
                f"SELECT session_id, {values} FROM numbers, instances WHERE number = 0 AND "
                f"task_name = '{task_name}' AND session_id = {_session_id(uid)}"
            )
        key = "id" if isinstance(storage, SqliteStorage) else "task_name, number"
        column = "instance_id" if isinstance(storage, SqliteStorage) else key
        execute(
            f"INSERT INTO waiting (session_id, trigger_name, {column}) "
            f"SELECT session_id, 'never', {key} FROM instances "
            f"WHERE task_name = 'forgotten' AND number > 0 AND session_id = {_session_id(uid)}"
        )


def add_sessions(filled: Filled, size: int) -> None:
    """Add sessions, each with a finished instance and a trigger that has fired."""
    uid = filled.template.session_uid
    values = ", ".join(f"instances.{column}" for column in COLUMNS)
    with _sql(filled.storage) as execute:
        execute(
            "INSERT INTO sessions (uid, manager_name, config_digest) "
            "WITH RECURSIVE numbers (i) AS "
            f"(SELECT {FIRST} UNION ALL SELECT i + 1 FROM numbers WHERE i < {FIRST + size - 1}) "
            f"SELECT 's' || i, manager_name, config_digest FROM numbers, sessions "
            f"WHERE uid = '{uid}'"
        )
        execute(
            f"INSERT INTO instances (session_id, {', '.join(COLUMNS)}) "
            f"SELECT sessions.id, {values} FROM sessions, instances WHERE task_name = 'asked_for' "
            f"AND number = 0 AND session_id = {_session_id(uid)} AND sessions.uid <> '{uid}'"
        )
        execute(
            "INSERT INTO triggers (session_id, name, kwargs, fired_at) "
            "SELECT sessions.id, name, kwargs, fired_at FROM sessions, triggers WHERE "
            f"name = 'asked' AND session_id = {_session_id(uid)} AND sessions.uid <> '{uid}'"
        )


COUNTING = {"counted": {"after": [{"each": "photo", "times": 10**9}], "run": "none"}}


def with_firings(storage: Storage, size: int) -> TriggerManager:
    """Return a session with an instance that has counted so many firings, and waits for more."""
    manager = new_session(storage, COUNTING)
    manager.fire("photo", KWARGS)
    waiting = manager.instance("counted#0")
    with storage.transaction(manager.session_uid, manager.name) as unit:
        unit.save(unit.instances()[0].changed(counts={"photo": size}))
        if isinstance(storage, MemoryStorage):
            for _ in range(size - 1):
                unit.log_firing("photo", KWARGS, at=waiting.created_at)
            return manager
    with _sql(storage) as execute:
        execute(
            "INSERT INTO firings (session_id, name, position, kwargs, fired_at) "
            f"WITH RECURSIVE numbers (i) AS "
            f"(SELECT 2 UNION ALL SELECT i + 1 FROM numbers WHERE i < {size}) "
            "SELECT session_id, name, i, kwargs, fired_at FROM numbers, firings "
            f"WHERE position = 1 AND session_id = {_session_id(manager.session_uid)}"
        )
    return manager


def _session_id(uid: str) -> str:
    return f"(SELECT id FROM sessions WHERE uid = '{uid}')"


@contextmanager
def _sql(storage: Storage) -> Iterator[Execute]:
    """Give the execution of SQL that is the same for both databases, in one transaction."""
    if isinstance(storage, PostgresStorage):
        with psycopg.connect(POSTGRESQL) as connection:
            connection.execute(f'SET search_path = "{storage.schema}"')
            yield connection.execute
        with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
            for table in ("sessions", "instances", "waiting", "triggers", "firings"):
                connection.execute(f'VACUUM ANALYZE "{storage.schema}".{table}')
        return
    assert isinstance(storage, SqliteStorage)
    storage.close()
    connection = sqlite3.connect(Path(storage.path), isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    yield connection.execute
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
