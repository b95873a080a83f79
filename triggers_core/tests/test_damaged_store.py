"""A damaged store: whatever its file or its rows say, clear errors of ours if any; never a hang."""

import math
import os
import sqlite3
import struct
from contextlib import closing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers_core import DamagedStore, SchemaVersionError, SqliteStorage, TriggersError, execute
from triggers_core.recovery import recover_once
from triggers_core.storage.row import COLUMNS

from .conftest import ClockedSqliteStorage
from .hostile import CONFIGURATION, FUZZ, manager_on, no_hang, open_plugins

pytestmark = pytest.mark.usefixtures("never_hang")


def fill(storage):
    """Leave something in every table, and an instance in most statuses."""
    for uid in ("s", "other"):
        manager = manager_on(storage, uid)
        manager.update_configuration(CONFIGURATION)
        manager.fire("a", {"n": 1, "text": "Zoë"}, event_id="first")
        manager.fire("each", {"n": 2})
        execute(manager, manager.instance("t_one#0"))
        manager.fire("each", {"n": 3}, event_id="second")


def use_everything(storage):
    """Do whatever can be done with a store; return the errors of ours that it gave."""
    errors = []

    def attempt(call):
        try:
            return call()
        except TriggersError as error:
            errors.append(error)

    attempt(lambda: list(storage.sessions()))
    for uid in ("s", "other", "new"):
        manager = manager_on(storage, uid)
        attempt(manager.configuration)
        for instance in attempt(manager.instances) or []:
            attempt(lambda found=instance, manager=manager: manager.task_config(found))
        attempt(lambda manager=manager: manager.update_configuration(CONFIGURATION))
        for trigger_name in ("a", "b", "c", "each"):
            attempt(lambda name=trigger_name, manager=manager: manager.fire(name, {"n": 4}))
        attempt(lambda manager=manager: manager.instance("t_one#0"))
        for firing in (("a", {"n": 1, "text": "Zoë"}, "first"), ("each", {"n": 3}, "second")):
            attempt(lambda firing=firing, manager=manager: manager.fire_many([firing]))
        for instance in attempt(lambda manager=manager: manager.instances("t_each")) or []:
            attempt(lambda found=instance, manager=manager: execute(manager, found))
    storage.advance(1000.0)
    attempt(lambda: recover_once(storage, plugins=open_plugins()))
    assert all(map(str, errors))
    return errors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Give the bytes of a store that is whole."""
    path = tmp_path_factory.mktemp("whole") / "whole.db"
    storage = ClockedSqliteStorage(path, synchronous="NORMAL")
    fill(storage)
    storage.close()
    assert [each.name for each in path.parent.iterdir()] == ["whole.db"]
    return path.read_bytes()


@pytest.fixture
def use_file(tmp_path):
    """Return a function (bytes) → the errors that a store of these bytes gives."""

    def use(content):
        for leftover in tmp_path.iterdir():
            leftover.unlink()
        path = tmp_path / "store.db"
        path.write_bytes(content)
        storage = ClockedSqliteStorage(path, synchronous="NORMAL")
        try:
            return use_everything(storage)
        finally:
            storage.close()

    return use


HEADER_BYTES = 100
PAGE_BYTES = 4096


@st.composite
def damage(draw):
    """Give a function that damages bytes: somewhere, in the header, or at a page's beginning."""
    kind = draw(st.sampled_from(["anywhere", "header", "page", "cut", "zeros", "swap"]))
    where = draw(st.floats(0.0, 1.0, exclude_max=True))
    count = draw(st.integers(1, 12))
    new = draw(st.binary(min_size=count, max_size=count))

    def apply(content):
        size, damaged = len(content), bytearray(content)
        pages = size // PAGE_BYTES
        page = int(where * pages) * PAGE_BYTES
        if kind == "cut":
            return content[: int(where * size)]
        if kind == "zeros":
            return content[:page] + bytes(PAGE_BYTES) + content[page + PAGE_BYTES :]
        if kind == "swap":
            last = content[-PAGE_BYTES:]
            return content[:page] + last + content[page + PAGE_BYTES :]
        start = {"anywhere": where * size, "header": where * HEADER_BYTES, "page": page}[kind]
        damaged[int(start) : int(start) + count] = new
        return bytes(damaged[:size])

    return apply


@settings(FUZZ, max_examples=150)
@given(st.lists(damage(), min_size=1, max_size=3))
def test_a_damaged_file_gives_clear_errors_if_any(whole, use_file, damages):
    content = whole
    for apply in damages:
        content = apply(content)
    with no_hang():
        use_file(content)


def test_a_whole_file_gives_none(whole, use_file):
    assert [type(error) for error in use_file(whole)] == []


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_file_that_was_cut_says_that_it_is_damaged(whole, use_file, share):
    errors = use_file(whole[: int(len(whole) * share)])
    assert any(isinstance(error, DamagedStore) for error in errors)


def test_a_schema_that_cannot_be_read_says_that_it_is_damaged(whole, use_file):
    errors = use_file(whole.replace(b"CREATE TABLE events", b"CREATE TABLE \xff\xfe\xfd\xfcts"))
    assert errors
    assert all(isinstance(error, DamagedStore) for error in errors)


@pytest.mark.parametrize("version", [-1, 0])
def test_a_version_that_never_was_says_that_it_is_damaged(whole, use_file, version):
    user_version = slice(60, 64)
    content = bytearray(whole)
    content[user_version] = struct.pack(">i", version)
    assert all(isinstance(error, DamagedStore) for error in use_file(bytes(content)))


def test_a_version_to_come_is_refused_by_every_call(whole, use_file):
    content = bytearray(whole)
    content[60:64] = struct.pack(">i", 2**31 - 1)
    errors = use_file(bytes(content))
    assert errors
    assert all(isinstance(error, SchemaVersionError) for error in errors)


GARBAGE = [
    "",
    "{",
    "[]",
    "{}",
    "null",
    "7",
    '"x"',
    '{"a":',
    '{"a":{"n":1}',
    '{"a":7}',
    '{"a":{"n":NaN}}',
    '{"a":{"n":1e999}}',
    '{"error":"x"}',
    "[" * 100_000,
    "[7]",
    "[[]]",
    "nonsense",
    "Zoë",
    b"\xff\xfe",
    b"{}",
    -1,
    7,
    2**62,
    1.5,
    1e300,
    -1e300,
]
TEXT_COLUMNS = {
    "configurations": ("digest", "body"),
    "sessions": ("uid", "manager_name", "config_digest"),
    "instances": COLUMNS,
    "triggers": ("name", "kwargs", "fired_at"),
    "events": ("event_id", "outcome"),
    "waiting": ("trigger_name", "instance_id"),
}
cells = st.sampled_from([(table, each) for table in TEXT_COLUMNS for each in TEXT_COLUMNS[table]])


@settings(FUZZ, max_examples=200)
@given(
    st.lists(st.tuples(cells, st.sampled_from(GARBAGE), st.integers(0, 3)), max_size=2, min_size=1)
)
def test_a_damaged_row_gives_clear_errors_if_any(whole, tmp_path, changes):
    path = tmp_path / f"{os.urandom(4).hex()}.db"
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        for (table, column), value, skipped in changes:
            with suppress(sqlite3.IntegrityError):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {column} = "
                    f"(SELECT {column} FROM {table} LIMIT 1 OFFSET ?)",
                    (value, skipped),
                )
    storage = ClockedSqliteStorage(path, synchronous="NORMAL")
    with no_hang():
        use_everything(storage)
    storage.close()
    path.unlink()


ONE_INSTANCE = (
    "task_name = 't_each' AND number = 0 AND session_id = (SELECT id FROM sessions WHERE uid = 's')"
)


@pytest.fixture
def spoil(whole, tmp_path):
    """Return a function (statement, values) → a storage with one instance lost in each session,
    in which the statement was executed then."""
    storages = []

    def spoil(statement, values=()):
        path = tmp_path / "store.db"
        path.write_bytes(whole)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE instances SET recover_at = 1.0 WHERE recover_at IS NOT NULL")
            connection.execute(statement, values)
        storages.append(ClockedSqliteStorage(path, synchronous="NORMAL"))
        return storages[-1]

    yield spoil
    for storage in storages:
        storage.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "asleep"),
        ("trigger_kwargs", '{"each":{"n":1'),
        ("trigger_kwargs", '{"each":1}'),
        ("trigger_kwargs", '{"each":{"n":NaN}}'),
        ("metadata", ""),
        ("metadata", '{"error":{}'),
        ("metadata", '{"error":"it"}'),
        ("waits_for", '["b"'),
        ("waits_for", "{}"),
        ("attempt", "many"),
        ("reruns_left", -1),
        ("changed_at", math.inf),
        ("not_before", 1e300),
        ("config_digest", "0" * 64),
    ],
)
def test_a_damaged_instance_is_named_and_keeps_no_other_from_being_recovered(spoil, column, value):
    storage = spoil(f"UPDATE instances SET {column} = ? WHERE {ONE_INSTANCE}", (value,))
    manager = manager_on(storage)
    with pytest.raises(DamagedStore, match="t_each#0|configuration '000"):
        manager.task_config(manager.instance("t_each#0"))

    recovered = recover_once(storage, plugins=open_plugins())
    assert set(recovered.dispatched) > {("other", "t_each#0"), ("other", "t_each#1")}
    assert ("s", "t_each#0") not in recovered.dispatched


def test_an_instance_whose_session_is_gone_keeps_no_other_from_being_recovered(spoil):
    storage = spoil("DELETE FROM sessions WHERE uid = 's'")
    recovered = recover_once(storage, plugins=open_plugins())
    assert {uid for uid, _ in recovered.dispatched} == {"other"}
    assert {uid for uid, _ in recovered.errors} == {"None"}


@pytest.mark.parametrize(
    ("statement", "use", "named"),
    [
        ("UPDATE configurations SET body = substr(body, 1, 99)", "configuration", "configuration"),
        ("UPDATE configurations SET body = '[]'", "configuration", "configuration"),
        ("DELETE FROM configurations", "configuration", "configuration"),
        ("UPDATE triggers SET kwargs = '{' WHERE name = 'a'", "fire each", "trigger 'a'"),
        ("UPDATE events SET outcome = '{' WHERE event_id = 'first'", "fire first", "event 'first'"),
        ("UPDATE events SET outcome = '{}'", "fire first", "outcome of an event"),
        ("UPDATE events SET outcome = '[]'", "fire first", "event 'first'"),
        ("UPDATE sessions SET manager_name = x'ff00'", "sessions", "session 's'"),
        ("UPDATE sessions SET uid = CAST(x'ff' AS text) WHERE uid = 'other'", "sessions", "UTF-8"),
    ],
)
def test_what_is_damaged_is_named(spoil, statement, use, named):
    storage = spoil(statement)
    manager = manager_on(storage)
    uses = {
        "configuration": manager.configuration,
        "fire each": lambda: manager.fire("each"),
        "fire first": lambda: manager.fire_many([("a", {"n": 1, "text": "Zoë"}, "first")]),
        "sessions": lambda: list(storage.sessions()),
    }
    with pytest.raises(DamagedStore, match=named):
        uses[use]()


def test_sessions_out_of_order_are_not_gone_through_for_ever(spoil, monkeypatch):
    """As in a tree whose pages point to each other."""
    storage = spoil("UPDATE sessions SET uid = uid")
    monkeypatch.setattr(
        SqliteStorage, "_sessions_after", lambda self, row_id: [(2, "s", "m"), (1, "t", "m")]
    )
    with no_hang(), pytest.raises(DamagedStore, match="out of order"):
        list(storage.sessions())
