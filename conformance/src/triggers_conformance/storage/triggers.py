"""What instances wait for; numbers, triggers, events and configurations."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import pytest

from triggers_conformance.storage.elsewhere import elsewhere
from triggers_conformance.storage.samples import (
    CONFIGURATION,
    EVERY_FIELD,
    MANAGER,
    OTHER_CONFIGURATION,
    RUNNING,
    SESSION,
)
from triggers_conformance.storage.steps import (
    all_seen,
    assert_waiting_is_exact,
    assert_waiting_is_exact_outside,
    configure,
    instances_of,
    keep,
    keep_trigger,
    read_session,
)
from triggers_core import (
    BaseTaskRunner,
    Configuration,
    EventConflict,
    Plugins,
    SessionReader,
    Status,
    Storage,
    StorageError,
    TaskInstance,
    TriggerManager,
)


class Triggers:
    """Checks S43 to S51, S66 to S68."""

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
            assert_waiting_is_exact(unit)
        assert_waiting_is_exact_outside(storage)
        for _, after in instances[::2]:
            keep(storage, after)
            assert_waiting_is_exact_outside(storage)
        with storage.transaction(SESSION, MANAGER) as unit:
            for before, after in instances[1::2]:
                unit.save(after)
                assert_waiting_is_exact(unit)
                unit.save(before)
                assert_waiting_is_exact(unit)
                unit.save(after)
            assert_waiting_is_exact(unit)
        assert_waiting_is_exact_outside(storage)
        assert instances_of(storage) == [after for _, after in instances]

    def test_s44_waiting_for_nobody(self, storage: Storage) -> None:
        """S44: ``waiting_for`` a trigger that no instance waits for is empty."""
        keep(storage, EVERY_FIELD, RUNNING)
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.waiting_for("a") == []
            assert unit.waiting_for("never heard of") == []

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
        assert read_session(storage, lambda reader: reader.next_number("t_task")) == highest + 1

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
        keep(storage, EVERY_FIELD, scheduled, running)
        for instance, is_active in ((running, True), (scheduled, False)):
            keep(storage, replace(instance, status=Status.FINISHED))
            assert read_session(storage, lambda reader: reader.is_active()) == is_active

    def test_s49_current_configuration(self, storage: Storage) -> None:
        """S49: a session's configuration is an empty one at first, then the latest."""
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.configuration() == Configuration()
            unit.configure(CONFIGURATION)
        for configuration in (OTHER_CONFIGURATION, CONFIGURATION):
            with storage.transaction(SESSION, MANAGER) as unit:
                unit.configure(configuration)
            found = read_session(storage, lambda reader: reader.configuration())
            assert found == configuration
            assert found.digest == configuration.digest

    def test_s50_configuration_by_digest(self, storage: Storage) -> None:
        """S50: every configuration that a session has or had is found by its digest."""
        for configuration in (OTHER_CONFIGURATION, CONFIGURATION):
            configure(storage, configuration)
        configure(storage, session_uid="another")
        for configuration in (OTHER_CONFIGURATION, CONFIGURATION):
            assert storage.configuration(configuration.digest) == configuration
            found = elsewhere(partial(storage.configuration, configuration.digest))
            assert found == configuration

    def test_s51_unknown_digest(self, storage: Storage) -> None:
        """S51: a digest that no session has or had is a StorageError that names it."""
        with pytest.raises(StorageError, match="no-such-digest"):
            storage.configuration("no-such-digest")

    def test_s66_dispatch_order(self, storage: Storage) -> None:
        """S66: what one trigger makes ready is dispatched in one order (F10): instances that
        existed, by task name (code points) and number, and then new ones, as configured."""
        runner = Recorder()
        plugins = Plugins(load_entry_points=False)
        plugins.use_runner(runner)
        manager = TriggerManager(SESSION, storage=storage, plugins=plugins)
        also = {"after": ["asked", "go"], "run": "app.task", "using": "recorder"}
        new = {"after": ["go"], "run": "app.task", "using": "recorder"}
        manager.update_configuration(
            {"t_z": new, "t_b": {**also, "andEvery": "asked"}, "t_a": new, "t_Ä": also, "t_B": also}
        )
        for _ in range(11):
            manager.fire("asked")
        manager.fire("go")
        existed = ["t_B#0", *(f"t_b#{number}" for number in range(11)), "t_Ä#0"]
        assert runner.names == [*existed, "t_z#0", "t_a#0"]

    def test_s68_event_of_another_firing(self, storage: Storage) -> None:
        """S68: an event that was recorded for one firing is known by the next transaction, whose
        firing of another trigger, or with other kwargs, is refused (F11) and changes nothing."""
        plugins = Plugins(load_entry_points=False)
        manager = TriggerManager(SESSION, storage=storage, plugins=plugins)
        first = manager.fire("a", {"n": 1, "m": 2}, event_id="Event")
        assert manager.fire("a", {"m": 2, "n": 1}, event_id="Event") == first
        before = read_session(storage, all_seen)
        for firing in (("b", {"n": 1, "m": 2}, "Event"), ("a", {"n": 2, "m": 2}, "Event")):
            with pytest.raises(EventConflict):
                manager.fire_many([("c",), firing])
        assert read_session(storage, all_seen) == before
        assert manager.fire("b", event_id="event").trigger_name == "b"

    def test_s67_fired_triggers(self, storage: Storage) -> None:
        """S67: ``fired_triggers`` has the name of each trigger that has fired in the session, once,
        where the storage offers it."""
        if read_session(storage, _offers_no_fired_triggers):
            pytest.skip("not offered: fired_triggers")
        for name in ("b", "a", "å", "b"):
            keep_trigger(storage, name)
        keep_trigger(storage, "elsewhere", session_uid="other")
        fired = read_session(storage, lambda reader: reader.fired_triggers())
        assert sorted(fired) == ["a", "b", "å"]
        assert read_session(storage, lambda reader: reader.fired_triggers(), "unknown") == []


class Recorder(BaseTaskRunner):
    """Keeps the names of what it is handed."""

    name = "recorder"

    def __init__(self) -> None:
        self.names: list[str] = []

    def run(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        self.names.append(task_instance.name)


def _offers_no_fired_triggers(reader: SessionReader) -> bool:
    return type(reader).fired_triggers is SessionReader.fired_triggers
