"""The directive ``celery``, checked before anything is stored."""

import pytest
from celery.app.task import Context

from triggers_celery.directive import CELERY_HEADERS, LONGEST_EXPIRES
from triggers_core import ConfigurationError, MemoryStorage, Plugins, TriggerManager


@pytest.fixture
def manager():
    return TriggerManager("session", storage=MemoryStorage(), plugins=Plugins())


def configuration(directive):
    return {"t_note": {"after": ["go"], "run": "orders.note", "celery": directive}}


@pytest.mark.parametrize(
    "directive",
    [
        {},
        {"queue": "mail"},
        {"priority": 0},
        {"priority": 255},
        {"expires": 0.5},
        {"expires": LONGEST_EXPIRES},
        {"headers": {"tenant": "a", "trace": {"id": 3}}},
    ],
)
def test_what_can_be_sent_is_kept(manager, directive):
    manager.update_configuration(configuration(directive))

    assert manager.configuration()["t_note"].extras["celery"] == directive


@pytest.mark.parametrize(
    ("directive", "complaint"),
    [
        (None, "expected a mapping of message options"),
        ("mail", "expected a mapping of message options"),
        (["queue"], "expected a mapping of message options"),
        ({"que": "mail"}, "unknown option 'que'; known: expires, headers, priority, queue"),
        ({"countdown": 3}, "unknown option 'countdown'"),
        ({"queue": ""}, "expected a queue's name, not ''"),
        ({"queue": None}, "expected a queue's name"),
        ({"priority": -1}, "expected an int from 0 to 255, not -1"),
        ({"priority": 256}, "expected an int from 0 to 255"),
        ({"priority": True}, "expected an int from 0 to 255"),
        ({"priority": "high"}, "expected an int from 0 to 255"),
        ({"expires": 0}, "expected seconds, more than 0"),
        ({"expires": LONGEST_EXPIRES + 1}, "up to 4000000"),
        ({"expires": True}, "expected seconds"),
        ({"expires": "2031-01-01"}, "expected seconds"),
        ({"headers": ["tenant"]}, "expected a mapping of headers"),
        ({"headers": {"task": "orders.other"}}, "none of them Celery's own"),
        ({"headers": {"retries": 0}}, "none of them Celery's own"),
        ({"headers": {"get": "x"}}, "none of them Celery's own"),
        ({"headers": {"_children": "x"}}, "none of them Celery's own"),
    ],
)
def test_c7_what_cannot_be_sent_is_refused_and_changes_nothing(manager, directive, complaint):
    with pytest.raises(ConfigurationError, match="task 't_note', directive 'celery'") as refused:
        manager.update_configuration(configuration(directive))

    assert complaint in str(refused.value)
    assert len(manager.configuration()) == 0


def test_no_header_that_celery_reads_itself_can_be_set():
    assert {name for name in dir(Context) if not name.startswith("_")} <= CELERY_HEADERS
