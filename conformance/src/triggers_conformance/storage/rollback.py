"""A transaction that ends by an exception has changed nothing."""

from __future__ import annotations

from dataclasses import replace

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
    EMPTY,
    Abort,
    aborted,
    all_seen,
    configure,
    instances_of,
    keep,
    keep_trigger,
    read_session,
    write_and_raise,
    write_everything,
)
from triggers_core import Status, Storage, StorageError, UnitOfWork


class Rollback:
    """Checks S13 to S24."""

    def test_s13_deletion_undone(self, storage: Storage) -> None:
        """S13: an exception undoes the deletion of the session."""
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            write_everything(unit)
        before = read_session(storage, all_seen)
        aborted(storage, lambda unit: unit.delete())
        assert read_session(storage, all_seen) == before

    def test_s14_exception_passes(self, storage: Storage) -> None:
        """S14: the exception that ends a transaction reaches the caller as it is."""
        abort = Abort()
        with pytest.raises(Abort) as raised, storage.transaction(SESSION, MANAGER):
            raise abort
        assert raised.value is abort

    def test_s15_new_session_undone(self, storage: Storage) -> None:
        """S15: an exception undoes the making of the session."""
        aborted(storage, write_everything)
        assert list(storage.sessions()) == []
        assert read_session(storage, all_seen) == EMPTY

    def test_s16_configuration_undone(self, storage: Storage) -> None:
        """S16: an exception undoes the configuration."""
        configure(storage)
        aborted(storage, lambda unit: unit.configure(OTHER_CONFIGURATION))
        assert read_session(storage, lambda reader: reader.configuration()) == CONFIGURATION
        with pytest.raises(StorageError):
            storage.configuration(OTHER_CONFIGURATION.digest)

    def test_s17_instances_undone(self, storage: Storage) -> None:
        """S17: an exception undoes instances, new ones and changed ones."""
        keep(storage, EVERY_FIELD)

        def save(unit: UnitOfWork) -> None:
            unit.save(replace(EVERY_FIELD, attempt=99))
            unit.save(replace(EVERY_FIELD, number=8))
            unit.save(replace(EVERY_FIELD, number=8, attempt=99))

        aborted(storage, save)
        assert instances_of(storage) == [EVERY_FIELD]

    def test_s18_waiting_undone(self, storage: Storage) -> None:
        """S18: an exception undoes what instances wait for, of new ones and changed ones."""
        before = replace(EVERY_FIELD, waits_for=frozenset({"a", "b"}))
        keep(storage, before)

        def save(unit: UnitOfWork) -> None:
            unit.save(replace(before, waits_for=frozenset({"b", "c"})))
            unit.save(replace(before, waits_for=frozenset({"c"})))
            unit.save(replace(before, number=8))

        aborted(storage, save)
        waiting = read_session(storage, lambda reader: [reader.waiting_for(name) for name in "abc"])
        assert waiting == [[before], [before], []]

    def test_s19_numbers_undone(self, storage: Storage) -> None:
        """S19: an exception undoes the numbers that were taken."""
        keep(storage, EVERY_FIELD)
        aborted(storage, lambda unit: unit.save(replace(EVERY_FIELD, number=50)))
        aborted(storage, lambda unit: unit.save(replace(EVERY_FIELD, task_name="t_new")))
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.next_number("t_task") == EVERY_FIELD.number + 1
            assert unit.next_number("t_new") == 0

    def test_s20_triggers_undone(self, storage: Storage) -> None:
        """S20: an exception undoes the latest kwargs of triggers, new ones and replaced ones."""
        keep_trigger(storage, "a", kwargs={"kept": True})

        def remember(unit: UnitOfWork) -> None:
            unit.remember_trigger("a", {"kept": False}, at=1.0)
            unit.remember_trigger("b", {}, at=1.0)

        aborted(storage, remember)
        latest = read_session(storage, lambda reader: reader.latest_kwargs(["a", "b"]))
        assert latest == {"a": {"kept": True}}

    def test_s21_outcomes_undone(self, storage: Storage) -> None:
        """S21: an exception undoes the outcomes of events."""
        aborted(storage, lambda unit: unit.record_outcome("event", {"created": []}))
        assert read_session(storage, lambda reader: reader.outcome("event")) is None

    def test_s22_activity_undone(self, storage: Storage) -> None:
        """S22: an exception undoes whether the session is active."""
        aborted(storage, lambda unit: unit.save(RUNNING))
        assert not read_session(storage, lambda reader: reader.is_active())
        keep(storage, RUNNING)
        aborted(storage, lambda unit: unit.save(replace(RUNNING, status=Status.FINISHED)))
        assert read_session(storage, lambda reader: reader.is_active())

    @pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, SystemExit])
    def test_s23_every_exception_undoes(self, storage: Storage, error: type[BaseException]) -> None:
        """S23: an exception that is no ``Exception`` undoes everything too."""
        configure(storage)
        before = read_session(storage, all_seen)
        with pytest.raises(error):
            write_and_raise(storage, write_everything, error())
        assert read_session(storage, all_seen) == before

    def test_s24_life_after_rollback(self, storage: Storage) -> None:
        """S24: after a transaction that was undone, the same thread and others go on."""
        aborted(storage, write_everything)
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            write_everything(unit)
        elsewhere(lambda: keep(storage, replace(EVERY_FIELD, number=9)))
        assert [instance.number for instance in instances_of(storage)] == [7, 8, 9]
