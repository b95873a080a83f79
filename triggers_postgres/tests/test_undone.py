"""What the server undid for a reason that may pass is made again, and ends up in the store once."""

from contextlib import ExitStack

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from triggers_core import (
    EventConflict,
    Status,
    StorageError,
    TransientStorageError,
    execute,
    trigger_task,
)
from triggers_core.engine import change
from triggers_postgres import PostgresStorage
from triggers_postgres.connections import RETRY_PAUSES_SECONDS
from triggers_postgres.schema import TABLES
from triggers_postgres.session import PostgresWork

CONFIGURATION = {
    "t_each": {"after": ["go", "paid"], "andEvery": "go", "run": "task"},
    "t_next": {"after": ["t_each"], "andEvery": "t_each", "run": "task"},
    "t_other": {"after": ["go"], "andEvery": "go", "run": "task"},
}
BEFORE = ["t_each#0", "t_other#0"]
PAID = {"by": "card"}
ALWAYS = 1_000_000

COUNT_AND_FAIL = """
CREATE SEQUENCE tries;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A sequence counts on where everything else is undone.
    IF nextval(format('%I.tries', TG_TABLE_SCHEMA)) <= TG_ARGV[1]::bigint THEN
        RAISE EXCEPTION 'told to fail' USING ERRCODE = TG_ARGV[0];
    END IF;
    RETURN NULL;
END $$;
"""
FAIL = """
CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE ON {table}
DEFERRABLE INITIALLY {moment} FOR EACH ROW EXECUTE FUNCTION fail({sqlstate}, {times})
"""


@pytest.fixture(autouse=True)
def fired_before(storage, open_session):
    """So that what each test fires into has a past."""
    manager = open_session(storage, configuration=CONFIGURATION)
    manager.fire_many([("paid", PAID), ("go", {"nr": 0})])


@pytest.fixture
def contents(admin, schema):
    """Return a function that returns all that the store holds."""

    def look():
        return {
            table: sorted(map(repr, admin.execute(SQL("SELECT * FROM {}").format(name)).fetchall()))
            for table in TABLES
            for name in [Identifier(schema, table)]
        }

    return look


@pytest.fixture
def before_calls(monkeypatch):
    """Return a function (method of a class, what to do before its first so many calls) → a list
    that grows by one item a call."""

    def arm(owner, method, harm, times=1):
        plain = getattr(owner, method)
        calls = []

        def harmed(self, *args, **options):
            calls.append(method)
            if len(calls) <= times:
                harm()
            return plain(self, *args, **options)

        monkeypatch.setattr(owner, method, harmed)
        return calls

    return arm


@pytest.fixture
def fail_writes(admin, schema):
    """Return a function that makes the server fail writes to a table; that one returns a function
    which tells how many were tried."""

    def arm(table, sqlstate, times=1, moment="IMMEDIATE"):
        admin.execute(SQL("SET search_path TO {}").format(Identifier(schema)))
        admin.execute(COUNT_AND_FAIL)
        admin.execute(
            SQL(FAIL).format(
                table=Identifier(table),
                moment=SQL(moment),
                sqlstate=Literal(sqlstate),
                times=Literal(str(times)),
            )
        )
        return lambda: admin.execute("SELECT last_value FROM tries").fetchone()[0]

    return arm


@pytest.fixture
def three_tries(monkeypatch):
    monkeypatch.setattr(change, "RETRY_PAUSES_SECONDS", (0.0, 0.0))
    return 3


@pytest.fixture
def went_once(storage, open_session, idle_runner):
    """Return a function that fires through a storage and asserts that this one fire is in the
    store, once and whole."""

    def fire(through):
        outcome = open_session(through).fire("go", {"nr": 1})

        seen = open_session(storage)
        assert outcome.created == outcome.scheduled == ("t_each#1", "t_other#1")
        assert names(seen.instances()) == ["t_each#0", "t_each#1", "t_other#0", "t_other#1"]
        assert seen.instance("t_each#1").trigger_kwargs == {"go": {"nr": 1}, "paid": PAID}
        assert seen.instance("t_other#1").trigger_kwargs == {"go": {"nr": 1}}
        assert idle_runner.accepted == [*BEFORE, "t_each#1", "t_other#1"]
        with storage.read("session") as reader:
            assert reader.latest_kwargs(["go"]) == {"go": {"nr": 1}}

    return fire


def test_connections_that_broke_while_idle_are_no_error(doomed, terminate, went_once):
    size = len(RETRY_PAUSES_SECONDS) + 3
    with ExitStack() as stack:
        for number in range(size):
            stack.enter_context(doomed.read(f"other {number}"))
    assert terminate() >= size

    went_once(doomed)


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (PostgresWork, "open_or_make"),
        (PostgresStorage, "now"),
        (PostgresWork, "waiting_for"),
        (PostgresWork, "configuration"),
        (PostgresWork, "latest_kwargs"),
        (PostgresWork, "commit"),
    ],
)
def test_a_connection_that_breaks_amid_a_fire_is_no_error(
    doomed, terminate, before_calls, went_once, owner, method
):
    ended = []
    before_calls(owner, method, lambda: ended.append(terminate()))

    went_once(doomed)
    assert len(ended) == 1
    assert ended[0] > 0


@pytest.mark.parametrize("method", ["instance", "waiting_for", "commit"])
def test_a_connection_that_breaks_while_a_task_s_end_is_recorded_is_no_error(
    storage, doomed, terminate, before_calls, open_session, idle_runner, method
):
    ran, ended = [], []

    def body(context):
        ran.append(context.instance.name)
        before_calls(PostgresWork, method, lambda: ended.append(terminate()))
        return {"total": 7}

    manager = open_session(doomed)
    finished = execute(manager, manager.instance("t_each#0"), resolve=lambda *_: trigger_task(body))

    seen = open_session(storage)
    assert len(ended) == 1
    assert ended[0] > 0
    assert ran == ["t_each#0"]
    assert finished == seen.instance("t_each#0")
    assert finished.status is Status.FINISHED
    assert finished.metadata["result"] == {"total": 7}
    assert names(seen.instances()) == ["t_each#0", "t_next#0", "t_other#0"]
    assert seen.instance("t_next#0").trigger_kwargs == {"t_each": {"total": 7}}
    assert idle_runner.accepted == [*BEFORE, "t_next#0"]


@pytest.mark.parametrize(
    ("table", "moment"),
    [
        pytest.param("instances", "IMMEDIATE", id="amid the fire"),
        pytest.param("triggers", "IMMEDIATE", id="at its last write"),
        pytest.param("triggers", "DEFERRED", id="at its commit"),
    ],
)
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"], ids=["serialization", "deadlock"])
def test_a_fire_that_got_in_another_s_way_is_made_again(
    doomed, fail_writes, went_once, sqlstate, table, moment
):
    tries = fail_writes(table, sqlstate, moment=moment)

    went_once(doomed)
    assert tries() > 1


@pytest.mark.parametrize(("sqlstate", "moment"), [("40001", "IMMEDIATE"), ("40P01", "DEFERRED")])
def test_a_fire_that_is_undone_each_time_is_given_up_and_changes_nothing(
    doomed, fail_writes, contents, open_session, idle_runner, three_tries, sqlstate, moment
):
    tries = fail_writes("triggers", sqlstate, times=ALWAYS, moment=moment)
    before = contents()

    with pytest.raises(TransientStorageError, match=r"told to fail.*; this change was not made"):
        open_session(doomed).fire("go", {"nr": 1})
    assert tries() == three_tries
    assert contents() == before
    assert idle_runner.accepted == BEFORE


@pytest.mark.parametrize("method", ["waiting_for", "commit"])
def test_a_fire_whose_connection_breaks_each_time_is_given_up_and_changes_nothing(
    doomed, terminate, before_calls, contents, open_session, idle_runner, three_tries, method
):
    calls = before_calls(PostgresWork, method, terminate, times=ALWAYS)
    before = contents()

    with pytest.raises(TransientStorageError, match="this change was not made"):
        open_session(doomed).fire("go", {"nr": 1})
    assert len(calls) == three_tries
    assert contents() == before
    assert idle_runner.accepted == BEFORE


@pytest.mark.parametrize(
    ("sqlstate", "error", "table", "moment"),
    [
        ("42501", psycopg.errors.InsufficientPrivilege, "instances", "IMMEDIATE"),
        ("57014", psycopg.errors.QueryCanceled, "triggers", "IMMEDIATE"),
        ("23514", psycopg.errors.CheckViolation, "triggers", "DEFERRED"),
    ],
)
def test_what_will_not_pass_is_tried_once_and_changes_nothing(
    doomed, fail_writes, contents, open_session, idle_runner, sqlstate, error, table, moment
):
    tries = fail_writes(table, sqlstate, times=ALWAYS, moment=moment)
    before = contents()

    with pytest.raises(StorageError, match="told to fail.*; this change was not made") as raised:
        open_session(doomed).fire("go", {"nr": 1})
    assert not isinstance(raised.value, TransientStorageError)
    assert isinstance(raised.value.__cause__, error)
    assert tries() == 1
    assert contents() == before
    assert idle_runner.accepted == BEFORE


def names(instances):
    return [instance.name for instance in instances]


def test_what_a_refused_change_was_going_to_write_is_not_sent_with_what_is_asked_next(
    make_storage, open_session
):
    """Writes are kept by the connection, which goes back to the pool and to whoever comes next."""
    storage = make_storage(pool_size=1)
    manager = open_session(storage, "refused", CONFIGURATION)
    manager.fire("other", event_id="one")
    with pytest.raises(EventConflict):
        manager.fire_many([("go",), ("go", None, "one")])

    storage.take_lost(limit=1, hold_until=0.0)
    list(storage.sessions())
    manager.instances()

    assert manager.instances() == []
