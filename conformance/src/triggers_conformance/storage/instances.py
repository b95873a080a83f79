"""Instances: kept whole, found again, in order, as copies."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from triggers_conformance.storage.samples import (
    CONFIGURATION,
    EVERY_FIELD,
    JSON_VALUES,
    MANAGER,
    OTHER_CONFIGURATION,
    SESSION,
)
from triggers_conformance.storage.steps import all_seen, instances_of, keep, read_session
from triggers_core import Status, Storage, TaskInstance
from triggers_core.rules.kwargs import MAX_DEPTH
from triggers_core.rules.names import MAX_NAME_LENGTH


class Instances:
    """Checks S32 to S42."""

    def test_s32_every_field(self, storage: Storage) -> None:
        """S32: every field of an instance comes back as it was saved."""
        defaulted = [
            field.name
            for field in fields(TaskInstance)
            if field.default == getattr(EVERY_FIELD, field.name)
        ]
        assert defaulted == []
        keep(storage, EVERY_FIELD)
        assert instances_of(storage) == [EVERY_FIELD]
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
        keep(storage, changed)
        assert instances_of(storage) == [changed]

    @pytest.mark.parametrize("status", Status)
    def test_s33_every_status(self, storage: Storage, status: Status) -> None:
        """S33: every status comes back, and only scheduled and running ones are active."""
        instance = replace(EVERY_FIELD, status=status)
        keep(storage, instance)
        assert instances_of(storage) == [instance]
        is_active = read_session(storage, lambda reader: reader.is_active())
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
        keep(storage, instance)
        assert instances_of(storage) == [instance]

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
        keep(storage, EVERY_FIELD, *others)
        changed = replace(EVERY_FIELD, attempt=99)
        keep(storage, changed)
        found = instances_of(storage)
        assert sorted(found, key=_order) == sorted([changed, *others], key=_order)

    def test_s39_one_instance(self, storage: Storage) -> None:
        """S39: ``instance`` finds by task and number, and returns None where there is none."""
        keep(storage, EVERY_FIELD)
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
        keep(storage, *instances[::-2], *instances[-2::-2])
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
        keep(storage, *instances)
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
            kept = all_seen(unit)
            _spoil(instance.trigger_kwargs, instance.metadata, kwargs, outcome)
            assert all_seen(unit) == kept
            for read in (unit.instances(), unit.waiting_for("b"), [unit.instance("t_task", 7)]):
                assert read[0] is not None
                _spoil(read[0].trigger_kwargs, read[0].metadata)
            _spoil(unit.latest_kwargs(["a"])["a"], unit.outcome("event"))
            assert all_seen(unit) == kept
        with storage.read(SESSION) as reader:
            _spoil(reader.instances()[0].trigger_kwargs, reader.waiting_for("b")[0].metadata)
            _spoil(reader.latest_kwargs(["a"])["a"], reader.outcome("event"))
            assert all_seen(reader) == kept
        assert read_session(storage, all_seen) == kept


def _spoil(*values: Any) -> None:
    """Change everything that can be changed inside the values."""
    for value in values:
        if isinstance(value, dict):
            _spoil(*value.values())
            value["spoilt"] = True
        elif isinstance(value, list):
            _spoil(*value)
            value.append("spoilt")


def _typed(value: Any) -> Any:
    """Return the value with the types that ``==`` does not see: 1, 1.0 and True, 0.0 and -0.0."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return type(value), repr(value)


def _order(instance: TaskInstance) -> tuple[str, int]:
    return instance.task_name, instance.number
