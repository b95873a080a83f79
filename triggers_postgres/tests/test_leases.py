"""Leases are renewed in one statement, whoever has sessions locked or connections lent."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from triggers_core.rules.instance import Status
from triggers_core.storage.base import HeldLease
from triggers_postgres.connections import Connection

CONFIGURATION = {"t_each": {"after": ["go"], "andEvery": "go", "run": "task"}}
UIDS = ("one", "two", "three")
LEASE_SECONDS = 100.0
LONG_SECONDS = 60.0


@pytest.fixture
def leases(storage, open_session):
    """The leases of a running instance in each of some sessions, all of which have run out."""
    for uid in UIDS:
        open_session(storage, uid, CONFIGURATION).fire("go")
        with storage.transaction(uid, "idle") as unit:
            [instance] = unit.instances()
            unit.save(instance.changed(status=Status.RUNNING, recover_at=1.0))
    return [HeldLease("idle", uid, "t_each", 0, LEASE_SECONDS) for uid in UIDS]


@pytest.fixture
def renewed(storage):
    """Return a function that returns the sessions whose instance is taken for alive."""

    def look():
        lost = storage.take_lost(limit=len(UIDS), hold_until=1.0)
        return set(UIDS) - {each.session_uid for each in lost}

    return look


def test_all_are_renewed_by_one_statement(storage, leases, renewed, monkeypatch):
    executed = []
    execute = Connection.execute

    def noted(self, query, *arguments, **options):
        executed.append(query)
        return execute(self, query, *arguments, **options)

    monkeypatch.setattr(Connection, "execute", noted)
    storage.renew_leases(leases)
    assert executed == [storage._statements.renew]
    monkeypatch.undo()
    assert renewed() == set(UIDS)


def test_no_session_that_is_locked_makes_a_live_task_look_lost(
    url, admin, schema, make_storage, open_session, leases, renewed
):
    """Nor do those who wait for it, and have every connection of the pool meanwhile."""
    threads = 2
    busy = make_storage(pool_size=threads, timeout=LONG_SECONDS)
    with psycopg.connect(url) as holder, ThreadPoolExecutor(threads) as pool:
        holder.execute(SQL("SELECT FROM {} FOR UPDATE").format(Identifier(schema, "sessions")))
        waiting = [pool.submit(open_session(busy, "one").fire, "go") for _ in range(threads)]
        until_blocked_by(admin, holder, threads)

        busy.renew_leases(leases)

        assert not any(each.done() for each in waiting)
        holder.rollback()
        assert renewed() == set(UIDS)
        for each in waiting:
            each.result(LONG_SECONDS)


def test_an_instance_under_change_keeps_no_other_back(url, schema, storage, leases, renewed):
    with psycopg.connect(url) as holder:
        query = (
            "SELECT FROM {i} WHERE session_id = (SELECT id FROM {s} WHERE uid = 'one') FOR UPDATE"
        )
        tables = {"i": Identifier(schema, "instances"), "s": Identifier(schema, "sessions")}
        assert holder.execute(SQL(query).format(**tables)).rowcount == 1
        storage.renew_leases(leases)
    assert renewed() == {"two", "three"}


def test_connections_that_broke_meanwhile_keep_none_back(doomed, terminate, leases, renewed):
    list(doomed.sessions())
    assert terminate() > 0
    doomed.renew_leases(leases)
    assert renewed() == set(UIDS)


def until_blocked_by(admin, holder, count):
    query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    blocked = 0
    # The second waits for the first, as PostgreSQL queues those who want one row.
    while not blocked:
        [blocked] = admin.execute(query, (holder.info.backend_pid,)).fetchone()
