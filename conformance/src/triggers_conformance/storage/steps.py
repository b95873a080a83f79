"""What the checks of storages do in a line: write, look, and end a transaction by force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from triggers_conformance.storage.elsewhere import Result
from triggers_conformance.storage.samples import (
    CLOSING,
    CONFIGURATION,
    EVERY_FIELD,
    MANAGER,
    OTHER_CONFIGURATION,
    RUNNING,
    SESSION,
)
from triggers_core import Configuration, SessionReader, Storage, TaskInstance, UnitOfWork


class Abort(Exception):
    """Ends a transaction."""


ASKED = ("a", "b", "c", "left", "right")


def all_seen(reader: SessionReader) -> dict[str, Any]:
    """Return all that the look-ups show of a session."""
    return {
        "manager_name": reader.manager_name(),
        "closing": reader.closing(),
        "configuration": reader.configuration().digest,
        "instances": reader.instances(),
        "waiting_for": {name: reader.waiting_for(name) for name in ASKED},
        "next_number": reader.next_number("t_task"),
        "latest_kwargs": reader.latest_kwargs(ASKED),
        "last_fired_at": reader.last_fired_at(),
        "outcome": reader.outcome("event"),
        "is_active": reader.is_active(),
    }


EMPTY: dict[str, Any] = {
    "manager_name": None,
    "closing": None,
    "configuration": Configuration().digest,
    "instances": [],
    "waiting_for": {name: [] for name in ASKED},
    "next_number": 0,
    "latest_kwargs": {},
    "last_fired_at": None,
    "outcome": None,
    "is_active": False,
}


def write_everything(unit: UnitOfWork, session_uid: str = SESSION) -> None:
    """Leave a trace in every look-up of :func:`all_seen` but the configuration."""
    unit.save(replace(EVERY_FIELD, session_uid=session_uid))
    unit.save(replace(RUNNING, session_uid=session_uid))
    unit.remember_trigger("a", {"n": 1}, at=0.0)
    unit.record_outcome("event", {"created": ["t_task#7"]})
    unit.close_session(CLOSING)


def read_session(
    storage: Storage, look: Callable[[SessionReader], Result], session_uid: str = SESSION
) -> Result:
    with storage.read(session_uid) as reader:
        return look(reader)


def instances_of(storage: Storage, session_uid: str = SESSION) -> list[TaskInstance]:
    return read_session(storage, lambda reader: reader.instances(), session_uid)


def configure(
    storage: Storage, configuration: Configuration = CONFIGURATION, session_uid: str = SESSION
) -> None:
    with storage.transaction(session_uid, MANAGER) as unit:
        unit.configure(configuration)


def keep(storage: Storage, *instances: TaskInstance) -> None:
    """Save instances of one session, under a configuration that exists."""
    with storage.transaction(instances[0].session_uid, MANAGER) as unit:
        unit.configure(OTHER_CONFIGURATION)
        unit.configure(CONFIGURATION)
        for instance in instances:
            unit.save(instance)


def save_lost(storage: Storage, session_uid: str, recover_at: float | None) -> TaskInstance:
    instance = replace(RUNNING, session_uid=session_uid, recover_at=recover_at)
    with storage.transaction(session_uid, f"manager of {session_uid}") as unit:
        unit.configure(CONFIGURATION)
        unit.save(instance)
    return instance


def keep_trigger(
    storage: Storage,
    trigger_name: str,
    kwargs: dict[str, Any] | None = None,
    session_uid: str = SESSION,
) -> None:
    with storage.transaction(session_uid, MANAGER) as unit:
        unit.remember_trigger(trigger_name, kwargs or {}, at=0.0)


def keep_pair(storage: Storage, n: int) -> None:
    """Write one number in three places."""
    with storage.transaction(SESSION, MANAGER) as unit:
        unit.configure(CONFIGURATION)
        unit.remember_trigger("left", {"n": n}, at=0.0)
        unit.save(replace(EVERY_FIELD, metadata={"n": n}))
        unit.remember_trigger("right", {"n": n}, at=0.0)


def write_and_raise(
    storage: Storage,
    write: Callable[[UnitOfWork], object],
    error: BaseException,
    session_uid: str = SESSION,
) -> None:
    with storage.transaction(session_uid, MANAGER) as unit:
        write(unit)
        raise error


def aborted(
    storage: Storage, write: Callable[[UnitOfWork], object], session_uid: str = SESSION
) -> None:
    with pytest.raises(Abort):
        write_and_raise(storage, write, Abort(), session_uid)


def assert_waiting_is_exact(reader: SessionReader) -> None:
    instances = reader.instances()
    for name in "abc":
        waiting = [instance for instance in instances if name in instance.waits_for]
        assert reader.waiting_for(name) == waiting


def assert_waiting_is_exact_outside(storage: Storage) -> None:
    read_session(storage, assert_waiting_is_exact)
    with storage.transaction(SESSION, MANAGER) as unit:
        assert_waiting_is_exact(unit)
