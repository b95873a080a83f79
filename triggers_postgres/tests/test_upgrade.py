"""A schema that the first release wrote, opened by this one: upgraded in place, once and whole."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from triggers_core import Closing, Status, StorageError
from triggers_core.recovery import recover_once
from triggers_core.storage.base import SCHEMA_VERSION
from triggers_core.storage.row import COLUMNS as ROW
from triggers_postgres import schema as tables

from .conftest import IdleManager

WRITTEN = (Path(__file__).parent / "version_1.sql").read_text(encoding="utf-8")
WRITTEN_AS = "version_1_written"
THREADS = 8
DEADLINE_SECONDS = 60
SHORT_MILLISECONDS = 200
COLUMNS = {
    "meta": "version",
    "configurations": "*",
    "sessions": "id, uid, manager_name, config_digest",
    "instances": f"session_id, {', '.join(each for each in ROW if each != 'counts')}",
    "waiting": "*",
    "triggers": "session_id, name, kwargs, fired_at",
    "events": "*",
}

KILLED_AMID = """
import os, signal, sys
from triggers_postgres import PostgresStorage, schema

def killed(connection, name):
    steps_taken(connection, name)
    os.kill(os.getpid(), signal.SIGKILL)

steps_taken, schema._take_steps = schema._take_steps, killed
list(PostgresStorage(sys.argv[1], schema=sys.argv[2]).sessions())
"""


class KeptManager(IdleManager):
    name = "kept"


@pytest.fixture
def old(admin, schema):
    """The name of a schema as the first release wrote it."""
    admin.execute(WRITTEN.replace(WRITTEN_AS, schema))
    return schema


@pytest.fixture
def facts(admin, old):
    """Return a function that gives what is in it, in whatever version, without what is new."""

    def look():
        return {
            table: admin.execute(
                SQL("SELECT {} FROM {} AS kept ORDER BY kept::text").format(
                    SQL(columns), Identifier(old, table)
                )
            ).fetchall()
            for table, columns in COLUMNS.items()
        }

    assert look()["meta"] == [(1,)]
    return look


def upgraded(facts):
    return {**facts, "meta": [(SCHEMA_VERSION,)]}


def test_the_version_is_the_cores():
    assert tables.VERSION == SCHEMA_VERSION


def test_what_it_held_is_there_and_nothing_is_closed(facts, storage):
    before = facts()
    for uid, _ in storage.sessions():
        with storage.read(uid) as reader:
            assert reader.closing() is None
            assert reader.instances()
    assert facts() == upgraded(before)


def test_its_sessions_go_on_from_where_they_stood(old, storage, open_session):
    plugins = open_session(storage).plugins
    waiting = KeptManager("waiting", storage=storage, plugins=plugins)
    assert waiting.fire("opened", {"by": "Zoë"}, event_id="letter-1").created == (
        "check#0",
        "remind#0",
    )
    assert waiting.fire("page", {"n": 1}).scheduled == ("check#0",)
    failed = KeptManager("failed", storage=storage, plugins=plugins)
    assert failed.replay_failed_instance("check#0").name == "check#2"
    assert failed.instance("check#0").status is Status.REPLAYED
    assert failed.fire("check", {"pages": 1}).scheduled == ("decide#0",)

    plugins.managers.add(KeptManager)
    recovered = recover_once(storage, plugins=plugins)
    assert ("running", "check#1") in recovered.rerun
    assert ("running", "check#2") in recovered.dispatched
    assert recovered.errors == []


def test_its_sessions_can_be_closed(old, storage, make_storage):
    with storage.transaction("waiting", "kept") as unit:
        unit.close_session(Closing("closed", 1.0))
    with make_storage().read("waiting") as reader:
        assert reader.closing() == Closing("closed", 1.0)


def test_many_that_open_it_at_once_upgrade_it_once(facts, make_storage):
    before = facts()
    storages = [make_storage() for _ in range(THREADS)]
    all_here = threading.Barrier(THREADS)

    def use(storage):
        all_here.wait(DEADLINE_SECONDS)
        return len(list(storage.sessions()))

    with ThreadPoolExecutor(THREADS) as threads:
        assert list(threads.map(use, storages)) == [4] * THREADS
    assert facts() == upgraded(before)


def test_a_process_killed_amid_the_upgrade_leaves_it_as_it_was(facts, url, old, storage):
    before = facts()
    command = [sys.executable, "-c", KILLED_AMID, url, old]
    assert subprocess.run(command, check=False, timeout=DEADLINE_SECONDS).returncode < 0
    assert facts() == before
    assert len(list(storage.sessions())) == 4
    assert facts() == upgraded(before)


def test_a_transaction_of_the_older_release_is_waited_for_and_no_longer_than_for_a_lock(
    facts, url, old, admin, make_storage
):
    before = facts()
    waits_shortly = make_conninfo(url, options=f"-c lock_timeout={SHORT_MILLISECONDS}")
    storage = make_storage(waits_shortly)
    with psycopg.connect(url) as older:
        older.execute(SQL("SELECT * FROM {} FOR UPDATE").format(Identifier(old, "sessions")))
        with pytest.raises(StorageError, match="lock"):
            list(storage.sessions())
        assert facts() == before
    assert len(list(storage.sessions())) == 4


def test_a_role_that_may_not_alter_the_tables_is_told_so(facts, url, old, admin, make_storage):
    before = facts()
    role = Identifier(f"{old}_role")
    admin.execute(SQL("CREATE ROLE {} LOGIN").format(role))
    try:
        for grant in (
            "GRANT USAGE ON SCHEMA {schema} TO {role}",
            "GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}",
        ):
            admin.execute(SQL(grant).format(schema=Identifier(old), role=role))
        storage = make_storage(make_conninfo(url, user=f"{old}_role"))
        with pytest.raises(StorageError, match="open it once as the role that owns them"):
            list(storage.sessions())
        assert facts() == before
        assert len(list(make_storage().sessions())) == 4
        assert len(list(storage.sessions())) == 4
    finally:
        admin.execute(SQL("DROP OWNED BY {}").format(role))
        admin.execute(SQL("DROP ROLE {}").format(role))
