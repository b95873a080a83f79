"""The contract of a storage, as checks: subclass :class:`StorageConformance` to run them on yours.

Each check has a number and, as its docstring, the rule of :mod:`triggers_core.storage.base` that
it holds the storage to.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from triggers_core import (
    Configuration,
    SessionReader,
    Status,
    Storage,
    StorageError,
    TaskInstance,
    UnitOfWork,
)
from triggers_core.rules.kwargs import MAX_DEPTH
from triggers_core.rules.names import MAX_NAME_LENGTH, check_name

Result = TypeVar("Result")

DEADLINE_SECONDS = 30.0
"""Within which another thread or process must be done; only a storage that hangs needs it."""
DAY_SECONDS = 86_400.0
THREADS = 8
TURNS = 25
"""Transactions of each thread, where threads compete."""

SESSION = "session"
MANAGER = "manager"
CONFIGURATION = Configuration.parse({"t_task": {"after": ["a", "b"], "run": "app.task"}})
OTHER_CONFIGURATION = Configuration.parse(
    {
        "t_täsk": {
            "after": ["å"],
            "andEvery": "a",
            "unless": ["b"],
            "run": "app.other",
            "withParams": {"å": {"text": "\N{SNOWMAN}\ud800", "deep": {"list": [1, None]}}},
            "priority": 3,
        }
    }
)

EVERY_FIELD = TaskInstance(
    session_uid=SESSION,
    task_name="t_task",
    number=7,
    config_digest=CONFIGURATION.digest,
    status=Status.UNSTARTED,
    created_at=1_700_000_000.25,
    changed_at=1_700_000_001.5,
    attempt=2,
    parent="t_task#6",
    trigger_kwargs={"a": {"amount": 3, "tags": ["x"]}},
    waits_for=frozenset({"b"}),
    not_before=1_700_000_002.75,
    recover_at=1_700_000_003.125,
    reruns_left=4,
    metadata={"result": {"ok": True}, "logs": [{"level": "ERROR", "message": "…"}]},
)
"""An instance in which no field has its default."""

JSON_VALUES = {
    "none": None,
    "booleans and the numbers like them": [True, 1, 1.0, False, 0, 0.0],
    "big integers": [2**63, -(2**63) - 1, 2**200],
    "floats": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e16],
    "unicode": "Zoë \N{SNOWMAN} \N{PILE OF POO} e\N{COMBINING ACUTE ACCENT}",
    "control characters": "\x00\x01\r\n\t\x7f\u2028",
    "lone surrogates": "\ud800 \udfff",
    "quotes": "'\"`; DROP TABLE instances; -- %s ? :name {} \\",
    "empty containers": [{}, [], "", {"": {"": []}}],
    "long text": "x" * 1_000_000,
}


class StorageConformance:
    """What every storage keeps. Three lines of an author's own tests run it::

        class TestMyStorage(StorageConformance):
            def make_storage(self, tmp_path):
                return MyStorage(tmp_path / "store")

    Attributes:
        shared_by_processes: whether the storage offers that processes which open the same store
            see the same sessions. Checks of an ability that is not offered are skipped.
    """

    shared_by_processes: ClassVar[bool] = False

    def make_storage(self, tmp_path: Path) -> Storage:
        """Return the storage to test, empty. Called once for each check."""
        raise NotImplementedError(f"{type(self).__name__} must define make_storage(self, tmp_path)")

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        storage = self.make_storage(tmp_path)
        yield storage
        storage.close()

    # The storage itself

    def test_s01_names(self, storage: Storage) -> None:
        """S1: ``name`` and ``alias`` are names that a URL and a message can carry."""
        assert check_name(type(storage).name, "storage")
        assert check_name(storage.alias, "storage alias")

    def test_s02_clock(self, storage: Storage) -> None:
        """S2: ``now`` is in seconds since the epoch, UTC."""
        assert isinstance(storage.now(), float)
        assert abs(storage.now() - time.time()) < DAY_SECONDS

    def test_s03_close(self, storage: Storage) -> None:
        """S3: a storage that was closed, even twice, opens again when it is used again."""
        _configure(storage)
        storage.close()
        storage.close()
        assert _read(storage, lambda reader: reader.configuration()) == CONFIGURATION
        _save(storage, EVERY_FIELD)
        storage.close()
        assert _instances(storage) == [EVERY_FIELD]

    def test_s04_close_by_another_thread(self, storage: Storage) -> None:
        """S4: any thread may close the storage; those that used it go on using it."""
        _configure(storage)
        _elsewhere(storage.close)
        assert _read(storage, lambda reader: reader.configuration()) == CONFIGURATION
        _save(storage, EVERY_FIELD)
        assert _elsewhere(lambda: _instances(storage)) == [EVERY_FIELD]

    # Sessions

    def test_s05_unknown_session(self, storage: Storage) -> None:
        """S5: a session that does not exist reads as an empty one, and a read does not make it."""
        seen = _read(storage, _seen)
        assert seen == _EMPTY
        assert list(storage.sessions()) == []

    def test_s06_session_made(self, storage: Storage) -> None:
        """S6: the first transaction makes the session, even if it changes nothing; whoever opens
        it later, the manager that made it stays its manager."""
        with storage.transaction(SESSION, MANAGER):
            pass
        with storage.transaction(SESSION, "another manager"):
            pass
        assert list(storage.sessions()) == [(SESSION, MANAGER)]

    def test_s07_session_order(self, storage: Storage) -> None:
        """S7: ``sessions`` yields the oldest session first, whatever was used last."""
        uids = [f"session {number}" for number in (10, 9, 1, 5)]
        for uid in (*uids, uids[0]):
            with storage.transaction(uid, f"manager of {uid}"):
                pass
        assert list(storage.sessions()) == [(uid, f"manager of {uid}") for uid in uids]

    def test_s08_sessions_in_use(self, storage: Storage) -> None:
        """S8: sessions may be used, and changed by others too, while ``sessions`` yields them."""
        uids = [f"session {number}" for number in range(3)]
        for uid in uids:
            _configure(storage, session_uid=uid)
        seen = []
        for uid, _ in storage.sessions():
            _elsewhere(partial(_remember, storage, "a", session_uid=uid))
            _remember(storage, "b", session_uid=uid)
            _aborted(storage, lambda unit: unit.remember_trigger("c", {}, at=0.0), uid)
            seen.append(uid)
        assert seen == uids
        for uid in uids:
            latest = _read(storage, lambda reader: reader.latest_kwargs("abc"), session_uid=uid)
            assert latest == {"a": {}, "b": {}}

    def test_s09_sessions_apart(self, storage: Storage) -> None:
        """S9: sessions do not see each other."""
        _configure(storage)
        with storage.transaction(SESSION, MANAGER) as unit:
            _write_everything(unit)
        assert _read(storage, _seen, session_uid="another") == _EMPTY
        with storage.transaction("another", MANAGER) as unit:
            assert _seen(unit) == {**_EMPTY, "manager_name": MANAGER}
            unit.save(replace(EVERY_FIELD, session_uid="another", attempt=99))
        assert _instances(storage) == [EVERY_FIELD, _RUNNING]

    def test_s10_manager_name(self, storage: Storage) -> None:
        """S10: a session knows the manager that made it; one that does not exist has none."""
        assert _read(storage, lambda reader: reader.manager_name()) is None
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.manager_name() == MANAGER
        assert _read(storage, lambda reader: reader.manager_name()) == MANAGER

    def test_s11_delete(self, storage: Storage) -> None:
        """S11: ``delete`` forgets the session whole, and no other; one of the same uid is then a
        new session."""
        for uid in (SESSION, "another"):
            with storage.transaction(uid, MANAGER) as unit:
                unit.configure(CONFIGURATION)
                _write_everything(unit, uid)
        another = _read(storage, _seen, "another")
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.delete()
        assert list(storage.sessions()) == [("another", MANAGER)]
        assert _read(storage, _seen) == _EMPTY
        assert _read(storage, _seen, "another") == another
        lost = storage.take_lost(limit=10, hold_until=storage.now() + DAY_SECONDS)
        assert {item.instance.session_uid for item in lost} == {"another"}
        with storage.transaction(SESSION, "another manager") as unit:
            assert _seen(unit) == {**_EMPTY, "manager_name": "another manager"}
        assert list(storage.sessions()) == [("another", MANAGER), (SESSION, "another manager")]

    def test_s12_delete_at_the_end(self, storage: Storage) -> None:
        """S12: a session that is deleted is there for others until the transaction ends, and for
        whoever began to read before."""
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            _write_everything(unit)
        before = _read(storage, _seen)

        def delete() -> None:
            with storage.transaction(SESSION, MANAGER) as unit:
                unit.delete()
                assert _elsewhere(lambda: _read(storage, _seen)) == before

        with storage.read(SESSION) as reader:
            assert reader.manager_name() == MANAGER
            _elsewhere(delete)
            assert _seen(reader) == before
        assert _read(storage, _seen) == _EMPTY

    # Rollback

    def test_s13_deletion_undone(self, storage: Storage) -> None:
        """S13: an exception undoes the deletion of the session."""
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            _write_everything(unit)
        before = _read(storage, _seen)
        _aborted(storage, lambda unit: unit.delete())
        assert _read(storage, _seen) == before

    def test_s14_exception_passes(self, storage: Storage) -> None:
        """S14: the exception that ends a transaction reaches the caller as it is."""
        abort = _Abort()
        with pytest.raises(_Abort) as raised, storage.transaction(SESSION, MANAGER):
            raise abort
        assert raised.value is abort

    def test_s15_new_session_undone(self, storage: Storage) -> None:
        """S15: an exception undoes the making of the session."""
        _aborted(storage, _write_everything)
        assert list(storage.sessions()) == []
        assert _read(storage, _seen) == _EMPTY

    def test_s16_configuration_undone(self, storage: Storage) -> None:
        """S16: an exception undoes the configuration."""
        _configure(storage)
        _aborted(storage, lambda unit: unit.configure(OTHER_CONFIGURATION))
        assert _read(storage, lambda reader: reader.configuration()) == CONFIGURATION
        with pytest.raises(StorageError):
            storage.configuration(OTHER_CONFIGURATION.digest)

    def test_s17_instances_undone(self, storage: Storage) -> None:
        """S17: an exception undoes instances, new ones and changed ones."""
        _save(storage, EVERY_FIELD)

        def save(unit: UnitOfWork) -> None:
            unit.save(replace(EVERY_FIELD, attempt=99))
            unit.save(replace(EVERY_FIELD, number=8))
            unit.save(replace(EVERY_FIELD, number=8, attempt=99))

        _aborted(storage, save)
        assert _instances(storage) == [EVERY_FIELD]

    def test_s18_waiting_undone(self, storage: Storage) -> None:
        """S18: an exception undoes what instances wait for, of new ones and changed ones."""
        before = replace(EVERY_FIELD, waits_for=frozenset({"a", "b"}))
        _save(storage, before)

        def save(unit: UnitOfWork) -> None:
            unit.save(replace(before, waits_for=frozenset({"b", "c"})))
            unit.save(replace(before, waits_for=frozenset({"c"})))
            unit.save(replace(before, number=8))

        _aborted(storage, save)
        waiting = _read(storage, lambda reader: [reader.waiting_for(name) for name in "abc"])
        assert waiting == [[before], [before], []]

    def test_s19_numbers_undone(self, storage: Storage) -> None:
        """S19: an exception undoes the numbers that were taken."""
        _save(storage, EVERY_FIELD)
        _aborted(storage, lambda unit: unit.save(replace(EVERY_FIELD, number=50)))
        _aborted(storage, lambda unit: unit.save(replace(EVERY_FIELD, task_name="t_new")))
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.next_number("t_task") == EVERY_FIELD.number + 1
            assert unit.next_number("t_new") == 0

    def test_s20_triggers_undone(self, storage: Storage) -> None:
        """S20: an exception undoes the latest kwargs of triggers, new ones and replaced ones."""
        _remember(storage, "a", kwargs={"kept": True})

        def remember(unit: UnitOfWork) -> None:
            unit.remember_trigger("a", {"kept": False}, at=1.0)
            unit.remember_trigger("b", {}, at=1.0)

        _aborted(storage, remember)
        latest = _read(storage, lambda reader: reader.latest_kwargs(["a", "b"]))
        assert latest == {"a": {"kept": True}}

    def test_s21_outcomes_undone(self, storage: Storage) -> None:
        """S21: an exception undoes the outcomes of events."""
        _aborted(storage, lambda unit: unit.record_outcome("event", {"created": []}))
        assert _read(storage, lambda reader: reader.outcome("event")) is None

    def test_s22_activity_undone(self, storage: Storage) -> None:
        """S22: an exception undoes whether the session is active."""
        _aborted(storage, lambda unit: unit.save(_RUNNING))
        assert not _read(storage, lambda reader: reader.is_active())
        _save(storage, _RUNNING)
        _aborted(storage, lambda unit: unit.save(replace(_RUNNING, status=Status.FINISHED)))
        assert _read(storage, lambda reader: reader.is_active())

    @pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, SystemExit])
    def test_s23_every_exception_undoes(self, storage: Storage, error: type[BaseException]) -> None:
        """S23: an exception that is no ``Exception`` undoes everything too."""
        _configure(storage)
        before = _read(storage, _seen)
        with pytest.raises(error):
            _write_and_raise(storage, _write_everything, error())
        assert _read(storage, _seen) == before

    def test_s24_life_after_rollback(self, storage: Storage) -> None:
        """S24: after a transaction that was undone, the same thread and others go on."""
        _aborted(storage, _write_everything)
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            _write_everything(unit)
        _elsewhere(lambda: _save(storage, replace(EVERY_FIELD, number=9)))
        assert [instance.number for instance in _instances(storage)] == [7, 8, 9]

    # What a transaction sees, and what others see of it

    def test_s25_own_writes(self, storage: Storage) -> None:
        """S25: a transaction sees its own writes, by every look-up."""
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            assert unit.configuration() == CONFIGURATION
            unit.configure(OTHER_CONFIGURATION)
            assert unit.configuration() == OTHER_CONFIGURATION
            _write_everything(unit)
            assert unit.instance("t_task", EVERY_FIELD.number) == EVERY_FIELD
            assert unit.instances() == [EVERY_FIELD, _RUNNING]
            assert unit.instances(statuses=[Status.RUNNING]) == [_RUNNING]
            assert unit.waiting_for("b") == [EVERY_FIELD]
            assert unit.next_number("t_task") == _RUNNING.number + 1
            assert unit.latest_kwargs(["a"]) == {"a": {"n": 1}}
            assert unit.outcome("event") == {"created": ["t_task#7"]}
            assert unit.is_active()
            finished = replace(_RUNNING, status=Status.FINISHED)
            unit.save(finished)
            unit.save(replace(EVERY_FIELD, waits_for=frozenset()))
            assert unit.instance("t_task", _RUNNING.number) == finished
            assert unit.waiting_for("b") == []
            assert not unit.is_active()

    def test_s26_own_configuration(self, storage: Storage) -> None:
        """S26: inside a transaction ``configuration(digest)`` sees what that one wrote."""
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(OTHER_CONFIGURATION)
            assert storage.configuration(OTHER_CONFIGURATION.digest) == OTHER_CONFIGURATION

    def test_s27_nothing_before_the_end(self, storage: Storage) -> None:
        """S27: nothing that a transaction writes is visible before it ends; whoever reads in the
        meantime does not wait."""
        _configure(storage)
        before = _read(storage, _seen)
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(OTHER_CONFIGURATION)
            _write_everything(unit)
            assert _elsewhere(lambda: _read(storage, _seen)) == before
            after = _seen(unit)
        assert _elsewhere(lambda: _read(storage, _seen)) == after

    def test_s28_new_session_before_the_end(self, storage: Storage) -> None:
        """S28: a new session is not visible before the transaction that makes it ends."""
        with storage.transaction(SESSION, MANAGER) as unit:
            _write_everything(unit)
            assert _elsewhere(lambda: list(storage.sessions())) == []
            assert _elsewhere(lambda: _read(storage, _seen)) == _EMPTY
        assert _elsewhere(lambda: list(storage.sessions())) == [(SESSION, MANAGER)]

    def test_s29_consistent_view(self, storage: Storage) -> None:
        """S29: a reader sees the session as it was when the read began, whatever others commit
        meanwhile; no writer waits for it."""
        _configure(storage)
        _save(storage, EVERY_FIELD)
        before = _read(storage, _seen)

        def write() -> None:
            with storage.transaction(SESSION, MANAGER) as unit:
                unit.configure(OTHER_CONFIGURATION)
                unit.save(replace(EVERY_FIELD, waits_for=frozenset({"a"}), attempt=99))
                unit.save(_RUNNING)
                unit.remember_trigger("a", {}, at=0.0)
                unit.record_outcome("event", {})

        with storage.read(SESSION) as reader:
            first = reader.instances()
            _elsewhere(write)
            assert reader.instances() == first
            assert _seen(reader) == before
        assert _read(storage, _seen) != before

    def test_s30_many_readers(self, storage: Storage) -> None:
        """S30: any number of readers look at one session at the same time."""
        _save(storage, EVERY_FIELD)
        all_inside = threading.Barrier(THREADS)

        def read(_: int) -> list[TaskInstance]:
            with storage.read(SESSION) as reader:
                all_inside.wait(DEADLINE_SECONDS)
                return reader.instances()

        assert _in_threads(THREADS, read) == [[EVERY_FIELD]] * THREADS

    def test_s31_reads_do_not_write(self, storage: Storage) -> None:
        """S31: an exception in the body of a read reaches the caller, and the next read works."""
        _save(storage, EVERY_FIELD)
        with pytest.raises(_Abort), storage.read(SESSION):
            raise _Abort
        assert _instances(storage) == [EVERY_FIELD]

    # Instances

    def test_s32_every_field(self, storage: Storage) -> None:
        """S32: every field of an instance comes back as it was saved."""
        defaulted = [
            field.name
            for field in fields(TaskInstance)
            if field.default == getattr(EVERY_FIELD, field.name)
        ]
        assert defaulted == []
        _save(storage, EVERY_FIELD)
        assert _instances(storage) == [EVERY_FIELD]
        changed = replace(
            EVERY_FIELD,
            config_digest=OTHER_CONFIGURATION.digest,
            status=Status.SCHEDULED,
            created_at=1.0,
            changed_at=2.0,
            attempt=1,
            parent=None,
            trigger_kwargs={},
            waits_for=frozenset(),
            not_before=0.0,
            recover_at=None,
            reruns_left=0,
            metadata={},
        )
        _save(storage, changed)
        assert _instances(storage) == [changed]

    @pytest.mark.parametrize("status", Status)
    def test_s33_every_status(self, storage: Storage, status: Status) -> None:
        """S33: every status comes back, and only scheduled and running ones are active."""
        instance = replace(EVERY_FIELD, status=status)
        _save(storage, instance)
        assert _instances(storage) == [instance]
        is_active = _read(storage, lambda reader: reader.is_active())
        assert is_active == (status in {Status.SCHEDULED, Status.RUNNING})

    @pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
    def test_s34_every_json_value(self, storage: Storage, value: Any) -> None:
        """S34: every JSON value comes back equal and of the same type, in kwargs, in metadata, as
        a trigger's latest kwargs and in an outcome."""
        kwargs = {"value": value, "nested": {"value": [value]}}
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            unit.save(replace(EVERY_FIELD, trigger_kwargs={"a": kwargs}, metadata=kwargs))
            unit.remember_trigger("a", kwargs, at=0.0)
            unit.record_outcome("event", kwargs)
        with storage.read(SESSION) as reader:
            [instance] = reader.instances()
            found = [
                instance.trigger_kwargs["a"],
                instance.metadata,
                reader.latest_kwargs(["a"])["a"],
                reader.outcome("event"),
            ]
        assert [_typed(item) for item in found] == [_typed(kwargs)] * len(found)

    def test_s35_deep_kwargs(self, storage: Storage) -> None:
        """S35: kwargs as deep as the framework allows come back."""
        value: Any = "bottom"
        for level in range(MAX_DEPTH):
            value = {"level": value} if level % 2 else [value]
        instance = replace(EVERY_FIELD, trigger_kwargs={"a": {"deep": value}})
        _save(storage, instance)
        assert _instances(storage) == [instance]

    @pytest.mark.parametrize(
        "name",
        ["x" * MAX_NAME_LENGTH, "é" * MAX_NAME_LENGTH, "a 'b' \"c\" %_; -- \\", "人 \N{SNOWMAN}"],
        ids=["long", "long and wide", "punctuation", "unicode"],
    )
    def test_s36_every_name(self, storage: Storage, name: str) -> None:
        """S36: every valid name serves for a session, manager, task, trigger and event."""
        instance = replace(
            EVERY_FIELD,
            session_uid=name,
            task_name=name,
            trigger_kwargs={name: {name: name}},
            waits_for=frozenset({name}),
            parent=f"{name}#6",
        )
        with storage.transaction(name, name) as unit:
            unit.configure(CONFIGURATION)
            unit.save(instance)
            unit.remember_trigger(name, {name: name}, at=0.0)
            unit.record_outcome(name, {name: [name]})
        with storage.read(name) as reader:
            assert reader.instance(name, EVERY_FIELD.number) == instance
            assert reader.instances(task_name=name) == [instance]
            assert reader.waiting_for(name) == [instance]
            assert reader.latest_kwargs([name]) == {name: {name: name}}
            assert reader.outcome(name) == {name: [name]}
        assert list(storage.sessions()) == [(name, name)]

    def test_s37_names_are_exact(self, storage: Storage) -> None:
        """S37: names that differ in case, form or wildcards only are different names."""
        names = ["t_a", "T_A", "t%a", "tXa", "t_\u00e9", "t_e\u0301"]
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            for number, name in enumerate(names):
                unit.save(
                    replace(EVERY_FIELD, task_name=name, number=number, waits_for=frozenset({name}))
                )
                unit.remember_trigger(name, {"number": number}, at=0.0)
                unit.record_outcome(name, {"number": number})
        with storage.read(SESSION) as reader:
            for number, name in enumerate(names):
                assert [one.number for one in reader.instances(task_name=name)] == [number]
                assert [one.number for one in reader.waiting_for(name)] == [number]
                assert reader.latest_kwargs([name]) == {name: {"number": number}}
                assert reader.outcome(name) == {"number": number}
                assert reader.next_number(name) == number + 1

    def test_s38_save_replaces(self, storage: Storage) -> None:
        """S38: saving an instance replaces the one of the same task and number, and no other."""
        others = [
            replace(EVERY_FIELD, number=number, task_name=task_name)
            for task_name, number in [("t_other", 7), ("t_task", 6), ("t_task", 8)]
        ]
        _save(storage, EVERY_FIELD, *others)
        changed = replace(EVERY_FIELD, attempt=99)
        _save(storage, changed)
        found = _instances(storage)
        assert sorted(found, key=_order) == sorted([changed, *others], key=_order)

    def test_s39_one_instance(self, storage: Storage) -> None:
        """S39: ``instance`` finds by task and number, and returns None where there is none."""
        _save(storage, EVERY_FIELD)
        with storage.read(SESSION) as reader:
            assert reader.instance("t_task", EVERY_FIELD.number) == EVERY_FIELD
            assert reader.instance("t_task", 0) is None
            assert reader.instance("t_other", EVERY_FIELD.number) is None

    def test_s40_order(self, storage: Storage) -> None:
        """S40: ``instances`` and ``waiting_for`` go by task name, in code point order, and by
        number."""
        keys = [
            (task_name, number)
            for task_name in ("T_task", "t task", "t_", "t_b", "ta", "té", "\N{SNOWMAN}")
            for number in (0, 2, 9, 10, 100)
        ]
        instances = [replace(EVERY_FIELD, task_name=name, number=number) for name, number in keys]
        assert keys == sorted(keys)
        _save(storage, *instances[::-2], *instances[-2::-2])
        with storage.read(SESSION) as reader:
            assert [_order(instance) for instance in reader.instances()] == keys
            assert [_order(instance) for instance in reader.waiting_for("b")] == keys

    def test_s41_some_instances(self, storage: Storage) -> None:
        """S41: ``instances`` returns those of a task, of some statuses, or of both."""
        instances = [
            replace(EVERY_FIELD, task_name=task_name, number=number, status=status)
            for task_name in ("t_one", "t_two")
            for number, status in enumerate(Status)
        ]
        _save(storage, *instances)
        with storage.read(SESSION) as reader:
            assert reader.instances() == instances
            assert reader.instances(task_name="t_two") == instances[len(Status) :]
            assert reader.instances(task_name="t_none") == []
            assert reader.instances(statuses=()) == []
            for wanted in ({Status.RUNNING}, {Status.FAILED, Status.SKIPPED}, set(Status)):
                of_status = [one for one in instances if one.status in wanted]
                of_both = [one for one in of_status if one.task_name == "t_one"]
                assert reader.instances(statuses=wanted) == of_status
                assert reader.instances(task_name="t_one", statuses=wanted) == of_both

    def test_s42_reads_are_copies(self, storage: Storage) -> None:
        """S42: what was read or saved shares nothing with what is kept."""
        kwargs = {"list": [1], "dict": {"n": 1}}
        outcome = {"created": ["t_task#7"]}
        instance = replace(
            EVERY_FIELD, trigger_kwargs={"a": {"list": [1]}}, metadata={"result": {"list": [1]}}
        )
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            unit.save(instance)
            unit.remember_trigger("a", kwargs, at=0.0)
            unit.record_outcome("event", outcome)
            kept = _seen(unit)
            _spoil(instance.trigger_kwargs, instance.metadata, kwargs, outcome)
            assert _seen(unit) == kept
            for read in (unit.instances(), unit.waiting_for("b"), [unit.instance("t_task", 7)]):
                assert read[0] is not None
                _spoil(read[0].trigger_kwargs, read[0].metadata)
            _spoil(unit.latest_kwargs(["a"])["a"], unit.outcome("event"))
            assert _seen(unit) == kept
        with storage.read(SESSION) as reader:
            _spoil(reader.instances()[0].trigger_kwargs, reader.waiting_for("b")[0].metadata)
            _spoil(reader.latest_kwargs(["a"])["a"], reader.outcome("event"))
            assert _seen(reader) == kept
        assert _read(storage, _seen) == kept

    # What instances wait for

    def test_s43_waiting_follows_saves(self, storage: Storage) -> None:
        """S43: whatever is saved over whatever, in one transaction or in two, ``waiting_for`` is
        exactly the instances that wait for the trigger."""
        waits = [frozenset(names) for names in ((), ("a",), ("b",), ("a", "b"))]
        steps = list(itertools.product(waits, waits))
        instances = [
            (
                replace(EVERY_FIELD, number=number, waits_for=before),
                replace(EVERY_FIELD, number=number, waits_for=after),
            )
            for number, (before, after) in enumerate(steps)
        ]
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            for before, _ in instances:
                unit.save(before)
            _assert_waiting_is_exact(unit)
        _assert_waiting_is_exact_outside(storage)
        for _, after in instances[::2]:
            _save(storage, after)
            _assert_waiting_is_exact_outside(storage)
        with storage.transaction(SESSION, MANAGER) as unit:
            for before, after in instances[1::2]:
                unit.save(after)
                _assert_waiting_is_exact(unit)
                unit.save(before)
                _assert_waiting_is_exact(unit)
                unit.save(after)
            _assert_waiting_is_exact(unit)
        _assert_waiting_is_exact_outside(storage)
        assert _instances(storage) == [after for _, after in instances]

    def test_s44_waiting_for_nobody(self, storage: Storage) -> None:
        """S44: ``waiting_for`` a trigger that no instance waits for is empty."""
        _save(storage, EVERY_FIELD, _RUNNING)
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.waiting_for("a") == []
            assert unit.waiting_for("never heard of") == []

    # Numbers, triggers, events

    def test_s45_numbers(self, storage: Storage) -> None:
        """S45: ``next_number`` is 0 while the task has no instance, then one above its highest;
        what becomes of instances does not change it."""
        highest = 41
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            assert unit.next_number("t_task") == 0
            unit.save(replace(EVERY_FIELD, number=0))
            assert unit.next_number("t_task") == 1
            unit.save(replace(EVERY_FIELD, number=highest))
            unit.save(replace(EVERY_FIELD, number=3))
            assert unit.next_number("t_task") == highest + 1
            unit.save(replace(EVERY_FIELD, number=highest, status=Status.REPLAYED))
            assert unit.next_number("t_task") == highest + 1
            assert unit.next_number("t_other") == 0
        assert _read(storage, lambda reader: reader.next_number("t_task")) == highest + 1

    def test_s46_latest_kwargs(self, storage: Storage) -> None:
        """S46: ``latest_kwargs`` returns, of the triggers asked for, those that have fired, each
        with the kwargs that were remembered last; ``last_fired_at`` the latest time that was."""
        first, second, third = 10.0, 11.0, 12.0
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.remember_trigger("a", {"n": 1}, at=first)
            unit.remember_trigger("b", {}, at=second)
        with storage.transaction(SESSION, MANAGER) as unit:
            # Later is what is remembered later, whatever the clock says.
            unit.remember_trigger("a", {"m": 2}, at=5.0)
        with storage.read(SESSION) as reader:
            assert reader.latest_kwargs(frozenset({"a", "b", "c"})) == {"a": {"m": 2}, "b": {}}
            assert reader.latest_kwargs(name for name in "ac") == {"a": {"m": 2}}
            assert reader.latest_kwargs([]) == {}
            assert reader.last_fired_at() == second
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.remember_trigger("c", {}, at=third)
            assert unit.last_fired_at() == third

    def test_s47_outcomes(self, storage: Storage) -> None:
        """S47: ``outcome`` returns what was recorded for the event, and None for any other."""
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.outcome("event") is None
            unit.record_outcome("event", {"created": ["t_task#0"]})
            unit.record_outcome("empty", {})
        with storage.read(SESSION) as reader:
            assert reader.outcome("event") == {"created": ["t_task#0"]}
            assert reader.outcome("empty") == {}
            assert reader.outcome("another") is None

    def test_s48_activity(self, storage: Storage) -> None:
        """S48: a session is active until the last scheduled or running instance has ended."""
        scheduled = replace(EVERY_FIELD, number=0, status=Status.SCHEDULED)
        running = replace(EVERY_FIELD, number=1, status=Status.RUNNING)
        _save(storage, EVERY_FIELD, scheduled, running)
        for instance, is_active in ((running, True), (scheduled, False)):
            _save(storage, replace(instance, status=Status.FINISHED))
            assert _read(storage, lambda reader: reader.is_active()) == is_active

    # Configurations

    def test_s49_current_configuration(self, storage: Storage) -> None:
        """S49: a session's configuration is an empty one at first, then the latest."""
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.configuration() == Configuration()
            unit.configure(CONFIGURATION)
        for configuration in (OTHER_CONFIGURATION, CONFIGURATION):
            with storage.transaction(SESSION, MANAGER) as unit:
                unit.configure(configuration)
            found = _read(storage, lambda reader: reader.configuration())
            assert found == configuration
            assert found.digest == configuration.digest

    def test_s50_configuration_by_digest(self, storage: Storage) -> None:
        """S50: every configuration that a session has or had is found by its digest."""
        for configuration in (OTHER_CONFIGURATION, CONFIGURATION):
            _configure(storage, configuration)
        _configure(storage, session_uid="another")
        for configuration in (OTHER_CONFIGURATION, CONFIGURATION):
            assert storage.configuration(configuration.digest) == configuration
            found = _elsewhere(partial(storage.configuration, configuration.digest))
            assert found == configuration

    def test_s51_unknown_digest(self, storage: Storage) -> None:
        """S51: a digest that no session has or had is a StorageError that names it."""
        with pytest.raises(StorageError, match="no-such-digest"):
            storage.configuration("no-such-digest")

    # Threads and processes

    def test_s52_serial_transactions(self, storage: Storage) -> None:
        """S52: transactions on one session are serial: no thread's update is lost."""

        def count(_: int) -> None:
            for _turn in range(TURNS):
                with storage.transaction(SESSION, MANAGER) as unit:
                    n = unit.latest_kwargs(["counter"]).get("counter", {"n": 0})["n"]
                    unit.remember_trigger("counter", {"n": n + 1}, at=0.0)

        _in_threads(THREADS, count)
        latest = _read(storage, lambda reader: reader.latest_kwargs(["counter"]))
        assert latest == {"counter": {"n": THREADS * TURNS}}

    def test_s53_numbers_given_once(self, storage: Storage) -> None:
        """S53: no number is given twice, however many threads make instances."""
        _configure(storage)

        def make(_: int) -> list[int]:
            given = []
            for _turn in range(TURNS):
                with storage.transaction(SESSION, MANAGER) as unit:
                    number = unit.next_number("t_task")
                    unit.save(replace(EVERY_FIELD, number=number))
                given.append(number)
            return given

        given = itertools.chain.from_iterable(_in_threads(THREADS, make))
        assert sorted(given) == list(range(THREADS * TURNS))
        assert len(_instances(storage)) == THREADS * TURNS

    def test_s54_one_session_made_once(self, storage: Storage) -> None:
        """S54: threads that open a new session at the same moment open the same one."""

        def remember(number: int) -> None:
            _remember(storage, f"trigger {number}")

        _in_threads(THREADS, remember)
        names = [f"trigger {number}" for number in range(THREADS)]
        assert list(storage.sessions()) == [(SESSION, MANAGER)]
        latest = _read(storage, lambda reader: reader.latest_kwargs(names))
        assert sorted(latest) == names

    def test_s55_many_sessions(self, storage: Storage) -> None:
        """S55: threads change different sessions at the same time, and each change is kept."""

        def fill(number: int) -> None:
            for turn in range(TURNS):
                _remember(storage, "a", kwargs={"turn": turn}, session_uid=f"session {number}")

        _in_threads(THREADS, fill)
        for number in range(THREADS):
            latest = _read(
                storage,
                lambda reader: reader.latest_kwargs(["a"]),
                session_uid=f"session {number}",
            )
            assert latest == {"a": {"turn": TURNS - 1}}

    def test_s56_readers_among_writers(self, storage: Storage) -> None:
        """S56: while threads write, what is read is always as some transaction left it."""
        writers = THREADS // 2
        _pair(storage, 0)

        def work(number: int) -> None:
            for turn in range(TURNS):
                if number < writers:
                    _pair(storage, number * TURNS + turn)
                    continue
                with storage.read(SESSION) as reader:
                    left = reader.latest_kwargs(["left"])["left"]
                    right = reader.latest_kwargs(["right"])["right"]
                    [waiting] = reader.waiting_for("b")
                assert left == right == waiting.metadata

        _in_threads(THREADS, work)

    def test_s57_threads_come_and_go(self, storage: Storage) -> None:
        """S57: threads come and go, and what each of them did stays."""
        count = 50
        for number in range(count):
            _elsewhere(partial(_remember, storage, f"trigger {number}"))
        names = [f"trigger {number}" for number in range(count)]
        assert len(_read(storage, lambda reader: reader.latest_kwargs(names))) == count

    def test_s58_fork(self, storage: Storage) -> None:
        """S58: a fork's child and its parent both go on using the storage, even where the fork
        came while another thread was in a transaction."""
        context = _fork_context()
        _save(storage, EVERY_FIELD)
        is_open, may_end = threading.Event(), threading.Event()

        def hold() -> None:
            with storage.transaction(SESSION, MANAGER) as unit:
                is_open.set()
                may_end.wait(DEADLINE_SECONDS)
                unit.remember_trigger("held", {}, at=0.0)

        def in_child() -> list[str]:
            with storage.transaction("the child's", MANAGER) as unit:
                unit.save(replace(EVERY_FIELD, session_uid="the child's"))
                assert unit.next_number("t_task") == EVERY_FIELD.number + 1
            storage.close()
            assert _instances(storage) == [EVERY_FIELD]
            return [instance.name for instance in _instances(storage, "the child's")]

        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        assert is_open.wait(DEADLINE_SECONDS)
        # Not before the fork begins, and no later: the storage may make it wait for this.
        os.register_at_fork(before=may_end.set)
        assert _in_child(context, in_child) == [EVERY_FIELD.name]
        holder.join(DEADLINE_SECONDS)
        _save(storage, _RUNNING)
        assert _instances(storage) == [EVERY_FIELD, _RUNNING]
        assert _read(storage, lambda reader: reader.latest_kwargs(["held"])) == {"held": {}}

    def test_s59_fork_shares(self, storage: Storage) -> None:
        """S59: where processes share the store, all that a fork's child commits is kept, whatever
        its parent does with the storage meanwhile."""
        self._needs_shared_by_processes()
        context = _fork_context()
        _configure(storage)
        ours, theirs = context.Pipe()

        def in_child() -> None:
            _remember(storage, "first")
            theirs.send("closing may begin")
            assert theirs.poll(DEADLINE_SECONDS)
            _remember(storage, "second")

        def in_parent() -> None:
            assert ours.poll(DEADLINE_SECONDS)
            storage.close()
            ours.send("closed")

        closer = threading.Thread(target=in_parent, daemon=True)
        closer.start()
        _in_child(context, in_child)
        closer.join(DEADLINE_SECONDS)
        names = ["first", "second"]
        assert sorted(_read(storage, lambda reader: reader.latest_kwargs(names))) == names

    # Recovery

    def test_s60_lost_taken(self, storage: Storage) -> None:
        """S60: ``take_lost`` gives the instances whose ``recover_at`` is past, with their
        manager's name, of all sessions, the longest lost first."""
        now = storage.now()
        lost = [
            _save_lost(storage, f"session {number}", recover_at=now - ago)
            for number, ago in enumerate((5.0, 50.0, 0.5))
        ]
        taken = storage.take_lost(limit=10, hold_until=now + 100.0)
        assert [(item.manager_name, item.instance) for item in taken] == [
            (f"manager of session {number}", replace(lost[number], recover_at=now + 100.0))
            for number in (1, 0, 2)
        ]

    def test_s61_others_left(self, storage: Storage) -> None:
        """S61: an instance that is not lost yet, or has no time at which it would be, is left."""
        now = storage.now()
        later = _save_lost(storage, "later", recover_at=now + 1000.0)
        never = _save_lost(storage, "never", recover_at=None)
        assert storage.take_lost(limit=10, hold_until=now + 100.0) == []
        assert _instances(storage, "later") == [later]
        assert _instances(storage, "never") == [never]

    def test_s62_limit(self, storage: Storage) -> None:
        """S62: ``take_lost`` gives no more than its limit, and the others to whoever asks next."""
        now = storage.now()
        for number in range(3):
            _save_lost(storage, f"session {number}", recover_at=now - 10.0 + number)
        taken = [
            [item.instance.session_uid for item in storage.take_lost(limit=2, hold_until=now + 100)]
            for _ in range(3)
        ]
        assert taken == [["session 0", "session 1"], ["session 2"], []]

    def test_s63_held(self, storage: Storage) -> None:
        """S63: what was taken is kept with its new ``recover_at``, is nobody else's before that
        time, and is lost again after it."""
        now = storage.now()
        lost = _save_lost(storage, SESSION, recover_at=now - 5.0)
        [first] = storage.take_lost(limit=10, hold_until=now - 1.0)
        assert _instances(storage) == [replace(lost, recover_at=now - 1.0)] == [first.instance]
        [second] = storage.take_lost(limit=10, hold_until=now + 100.0)
        assert _instances(storage) == [replace(lost, recover_at=now + 100.0)] == [second.instance]
        assert storage.take_lost(limit=10, hold_until=now + 200.0) == []

    def test_s64_taken_once(self, storage: Storage) -> None:
        """S64: of all who ask at once, one is given the instance."""
        now = storage.now()
        uids = [f"session {number:02}" for number in range(20)]
        for uid in uids:
            _save_lost(storage, uid, recover_at=now - 5.0)

        def take(_: int) -> list[str]:
            taken = []
            while found := storage.take_lost(limit=3, hold_until=now + 1000.0):
                taken += [item.instance.session_uid for item in found]
            return taken

        taken = itertools.chain.from_iterable(_in_threads(THREADS, take))
        assert sorted(taken) == uids

    def test_s65_recovered(self, storage: Storage) -> None:
        """S65: an instance that went on is no longer lost."""
        now = storage.now()
        lost = _save_lost(storage, SESSION, recover_at=now - 5.0)
        _save(storage, replace(lost, status=Status.FINISHED, recover_at=None))
        assert storage.take_lost(limit=10, hold_until=now + 100.0) == []

    def _needs_shared_by_processes(self) -> None:
        if not self.shared_by_processes:
            pytest.skip("not offered: shared_by_processes")


class _Abort(Exception):
    """Ends a transaction."""


_RUNNING = replace(EVERY_FIELD, number=8, status=Status.RUNNING, waits_for=frozenset())
_ASKED = ("a", "b", "c", "left", "right")


def _seen(reader: SessionReader) -> dict[str, Any]:
    """Return all that the look-ups show of a session."""
    return {
        "manager_name": reader.manager_name(),
        "configuration": reader.configuration().digest,
        "instances": reader.instances(),
        "waiting_for": {name: reader.waiting_for(name) for name in _ASKED},
        "next_number": reader.next_number("t_task"),
        "latest_kwargs": reader.latest_kwargs(_ASKED),
        "last_fired_at": reader.last_fired_at(),
        "outcome": reader.outcome("event"),
        "is_active": reader.is_active(),
    }


_EMPTY: dict[str, Any] = {
    "manager_name": None,
    "configuration": Configuration().digest,
    "instances": [],
    "waiting_for": {name: [] for name in _ASKED},
    "next_number": 0,
    "latest_kwargs": {},
    "last_fired_at": None,
    "outcome": None,
    "is_active": False,
}


def _write_everything(unit: UnitOfWork, session_uid: str = SESSION) -> None:
    """Leave a trace in every look-up of :func:`_seen` but the configuration."""
    unit.save(replace(EVERY_FIELD, session_uid=session_uid))
    unit.save(replace(_RUNNING, session_uid=session_uid))
    unit.remember_trigger("a", {"n": 1}, at=0.0)
    unit.record_outcome("event", {"created": ["t_task#7"]})


def _read(
    storage: Storage, look: Callable[[SessionReader], Result], session_uid: str = SESSION
) -> Result:
    with storage.read(session_uid) as reader:
        return look(reader)


def _instances(storage: Storage, session_uid: str = SESSION) -> list[TaskInstance]:
    return _read(storage, lambda reader: reader.instances(), session_uid)


def _configure(
    storage: Storage, configuration: Configuration = CONFIGURATION, session_uid: str = SESSION
) -> None:
    with storage.transaction(session_uid, MANAGER) as unit:
        unit.configure(configuration)


def _save(storage: Storage, *instances: TaskInstance) -> None:
    """Save instances of one session, under a configuration that exists."""
    with storage.transaction(instances[0].session_uid, MANAGER) as unit:
        unit.configure(OTHER_CONFIGURATION)
        unit.configure(CONFIGURATION)
        for instance in instances:
            unit.save(instance)


def _save_lost(storage: Storage, session_uid: str, recover_at: float | None) -> TaskInstance:
    instance = replace(_RUNNING, session_uid=session_uid, recover_at=recover_at)
    with storage.transaction(session_uid, f"manager of {session_uid}") as unit:
        unit.configure(CONFIGURATION)
        unit.save(instance)
    return instance


def _remember(
    storage: Storage,
    trigger_name: str,
    kwargs: dict[str, Any] | None = None,
    session_uid: str = SESSION,
) -> None:
    with storage.transaction(session_uid, MANAGER) as unit:
        unit.remember_trigger(trigger_name, kwargs or {}, at=0.0)


def _pair(storage: Storage, n: int) -> None:
    """Write one number in three places."""
    with storage.transaction(SESSION, MANAGER) as unit:
        unit.configure(CONFIGURATION)
        unit.remember_trigger("left", {"n": n}, at=0.0)
        unit.save(replace(EVERY_FIELD, metadata={"n": n}))
        unit.remember_trigger("right", {"n": n}, at=0.0)


def _write_and_raise(
    storage: Storage,
    write: Callable[[UnitOfWork], object],
    error: BaseException,
    session_uid: str = SESSION,
) -> None:
    with storage.transaction(session_uid, MANAGER) as unit:
        write(unit)
        raise error


def _aborted(
    storage: Storage, write: Callable[[UnitOfWork], object], session_uid: str = SESSION
) -> None:
    with pytest.raises(_Abort):
        _write_and_raise(storage, write, _Abort(), session_uid)


def _assert_waiting_is_exact(reader: SessionReader) -> None:
    instances = reader.instances()
    for name in "abc":
        waiting = [instance for instance in instances if name in instance.waits_for]
        assert reader.waiting_for(name) == waiting


def _assert_waiting_is_exact_outside(storage: Storage) -> None:
    _read(storage, _assert_waiting_is_exact)
    with storage.transaction(SESSION, MANAGER) as unit:
        _assert_waiting_is_exact(unit)


def _order(instance: TaskInstance) -> tuple[str, int]:
    return instance.task_name, instance.number


def _typed(value: Any) -> Any:
    """Return the value with the types that ``==`` does not see: 1, 1.0 and True, 0.0 and -0.0."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return type(value), repr(value)


def _spoil(*values: Any) -> None:
    """Change everything that can be changed inside the values."""
    for value in values:
        if isinstance(value, dict):
            _spoil(*value.values())
            value["spoilt"] = True
        elif isinstance(value, list):
            _spoil(*value)
            value.append("spoilt")


def _in_threads(count: int, function: Callable[[int], Result]) -> list[Result]:
    """Call the function in threads that start together; return what each returned, in order."""
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    together = threading.Barrier(count)

    def call(number: int) -> None:
        try:
            together.wait(DEADLINE_SECONDS)
            results[number] = function(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + DEADLINE_SECONDS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))
    if errors:
        raise errors[0]
    hanging = sum(thread.is_alive() for thread in threads)
    assert not hanging, f"{hanging} of {count} threads still wait after {DEADLINE_SECONDS} s"
    return [results[number] for number in range(count)]


def _elsewhere(function: Callable[[], Result]) -> Result:
    """Return what the function returns in a thread of its own."""
    [result] = _in_threads(1, lambda _: function())
    return result


def _fork_context() -> Any:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this platform has no fork")
    return multiprocessing.get_context("fork")


def _in_child(context: Any, function: Callable[[], Result]) -> Result:
    """Return what the function returns in a fork's child."""
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(theirs, function), daemon=True)
    with warnings.catch_warnings():
        # Newer Pythons warn of what this is about: a fork while there are threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    try:
        assert ours.poll(DEADLINE_SECONDS), "the fork's child hangs"
        is_fine, outcome = ours.recv()
    finally:
        child.kill()
        child.join()
    assert is_fine, f"in the fork's child:\n{outcome}"
    result: Result = outcome
    return result


def _report(connection: Connection, function: Callable[[], object]) -> None:
    try:
        connection.send((True, function()))
    except BaseException:
        connection.send((False, traceback.format_exc()))
