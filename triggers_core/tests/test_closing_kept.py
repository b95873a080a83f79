"""How a session's end is kept: what it is told as, what it costs, and what of it is damaged."""

import sqlite3
from contextlib import closing

import pytest

from triggers_core import DamagedStore, InstanceNotFound, SqliteStorage

from .conftest import HeldManager

ORDER = {"order": {"after": ["asked", "accepted"], "run": "shop.order"}}


def test_an_outcome_is_json(manager):
    manager.update_configuration(ORDER)
    manager.fire("asked")
    outcome = manager.cancel(by="Ada")
    assert outcome.to_dict() == {
        "closing": {"how": "cancelled", "at": outcome.closing.at, "reason": None, "by": "Ada"},
        "abandoned": ("order#0",),
        "running": (),
        "is_change": True,
    }


def test_a_session_that_does_not_exist_is_not_closed(make_manager):
    manager = make_manager("nosuch")
    assert manager.closing() is None
    with pytest.raises(InstanceNotFound):
        manager.instance("quote#0")


def test_a_fire_asks_nothing_more_for_it(tmp_path, plugins):
    manager = HeldManager("s", storage=SqliteStorage(tmp_path / "store.db"), plugins=plugins)
    manager.update_configuration(ORDER)
    manager.fire("asked")
    statements = []
    manager.storage._connections.own().set_trace_callback(statements.append)
    manager.fire("asked")
    assert sum("FROM sessions" in each or "UPDATE sessions" in each for each in statements) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"how": "eaten", "at": 1}',
        '{"how": "closed"}',
        '{"how": "closed", "at": "x"}',
        '{"how": "closed", "at": 1, "by": 7}',
    ],
)
def test_what_is_damaged_is_named(tmp_path, plugins, text):
    storage = SqliteStorage(tmp_path / "store.db")
    manager = HeldManager("s", storage=storage, plugins=plugins)
    manager.cancel()
    with closing(sqlite3.connect(storage.path)) as connection:
        connection.execute("UPDATE sessions SET closed = ?", (text,))
        connection.commit()
    for use in (manager.closing, lambda: manager.fire("x"), manager.cancel):
        with pytest.raises(DamagedStore, match="session 's', how it was closed"):
            use()
