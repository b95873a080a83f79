"""A session on PostgreSQL whose task counts: what the rules say holds on its tables too."""

import pytest

from triggers_core import InvalidKwargs, Status, execute, trigger_task

COUNTING = {
    "decide": {
        "after": [
            {"any": ["card", "transfer"]},
            {"each": "photo", "times": {"from": "listed", "key": "count"}},
        ],
        "run": "app.decide",
    }
}


def photos(*numbers):
    return [("photo", {"n": number}) for number in numbers]


def test_a_counted_join_gets_every_firing_in_order(storage, open_session, idle_runner):
    received = []
    manager = open_session(storage)
    manager.fire_many(photos(0, 1))  # before anybody counts: the latest counts once
    manager.update_configuration(COUNTING)

    manager.fire_many([*photos(2, 3), ("card",), ("listed", {"count": 5})])
    assert manager.instance("decide#0").counts == {"photo": 3}
    manager.fire("photo", {"n": 4})
    outcome, last = manager.fire_many(photos(5, 6))
    assert (outcome.scheduled, last.taken) == (("decide#0",), ())
    task = trigger_task(lambda context: received.append(context.firings))
    ended = execute(manager, manager.instance("decide#0"), resolve=lambda *_: task)

    assert ended.status is Status.FINISHED
    assert received == [{"photo": [{"n": number} for number in (1, 2, 3, 4, 5)]}]
    assert idle_runner.accepted == ["decide#0"]


def test_a_fire_without_its_number_changes_nothing(storage, open_session):
    manager = open_session(storage, configuration=COUNTING)
    manager.fire("photo")

    with pytest.raises(InvalidKwargs, match="int of 0 or more"):
        manager.fire_many([*photos(1), ("listed", {"count": "2"})])

    assert manager.instance("decide#0").counts == {"photo": 1}
    with storage.read("session") as reader:
        assert reader.firing_count("photo") == 1
        assert reader.fired_triggers() == ["photo"]
