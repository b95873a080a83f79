"""What a transaction sees, and what others see of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from triggers_conformance.storage.elsewhere import elsewhere, in_threads
from triggers_conformance.storage.samples import (
    CONFIGURATION,
    DEADLINE_SECONDS,
    EVERY_FIELD,
    MANAGER,
    OTHER_CONFIGURATION,
    RUNNING,
    SESSION,
    THREADS,
)
from triggers_conformance.storage.steps import (
    ASKED,
    EMPTY,
    Abort,
    all_seen,
    configure,
    instances_of,
    keep,
    keep_pair,
    read_session,
    write_everything,
)
from triggers_core import SessionReader, Status, Storage, TaskInstance


class Views:
    """Checks S25 to S31, S78 and S79."""

    def test_s25_own_writes(self, storage: Storage) -> None:
        """S25: a transaction sees its own writes, by every look-up."""
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            assert unit.configuration() == CONFIGURATION
            unit.configure(OTHER_CONFIGURATION)
            assert unit.configuration() == OTHER_CONFIGURATION
            write_everything(unit)
            assert unit.instance("t_task", EVERY_FIELD.number) == EVERY_FIELD
            assert unit.instances() == [EVERY_FIELD, RUNNING]
            assert unit.instances(statuses=[Status.RUNNING]) == [RUNNING]
            assert unit.waiting_for("b") == [EVERY_FIELD]
            assert unit.next_number("t_task") == RUNNING.number + 1
            assert unit.latest_kwargs(["a"]) == {"a": {"n": 1}}
            assert unit.outcome("event") == {"created": ["t_task#7"]}
            assert unit.is_active()
            finished = replace(RUNNING, status=Status.FINISHED)
            unit.save(finished)
            unit.save(replace(EVERY_FIELD, waits_for=frozenset()))
            assert unit.instance("t_task", RUNNING.number) == finished
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
        configure(storage)
        before = read_session(storage, all_seen)
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(OTHER_CONFIGURATION)
            write_everything(unit)
            assert elsewhere(lambda: read_session(storage, all_seen)) == before
            after = all_seen(unit)
        assert elsewhere(lambda: read_session(storage, all_seen)) == after

    def test_s28_new_session_before_the_end(self, storage: Storage) -> None:
        """S28: a new session is not visible before the transaction that makes it ends."""
        with storage.transaction(SESSION, MANAGER) as unit:
            write_everything(unit)
            assert elsewhere(lambda: list(storage.sessions())) == []
            assert elsewhere(lambda: read_session(storage, all_seen)) == EMPTY
        assert elsewhere(lambda: list(storage.sessions())) == [(SESSION, MANAGER)]

    def test_s29_consistent_view(self, storage: Storage) -> None:
        """S29: a reader sees the session as it was when the read began, whatever others commit
        meanwhile; no writer waits for it."""
        configure(storage)
        keep(storage, EVERY_FIELD)
        before = read_session(storage, all_seen)

        def write() -> None:
            with storage.transaction(SESSION, MANAGER) as unit:
                unit.configure(OTHER_CONFIGURATION)
                unit.save(replace(EVERY_FIELD, waits_for=frozenset({"a"}), attempt=99))
                unit.save(RUNNING)
                unit.remember_trigger("a", {}, at=0.0)
                unit.record_outcome("event", {})

        with storage.read(SESSION) as reader:
            first = reader.instances()
            elsewhere(write)
            assert reader.instances() == first
            assert all_seen(reader) == before
        assert read_session(storage, all_seen) != before

    def test_s30_many_readers(self, storage: Storage) -> None:
        """S30: any number of readers look at one session at the same time."""
        keep(storage, EVERY_FIELD)
        all_inside = threading.Barrier(THREADS)

        def read(_: int) -> list[TaskInstance]:
            with storage.read(SESSION) as reader:
                all_inside.wait(DEADLINE_SECONDS)
                return reader.instances()

        assert in_threads(THREADS, read) == [[EVERY_FIELD]] * THREADS

    def test_s31_reads_do_not_write(self, storage: Storage) -> None:
        """S31: an exception in the body of a read reaches the caller, and the next read works."""
        keep(storage, EVERY_FIELD)
        with pytest.raises(Abort), storage.read(SESSION):
            raise Abort
        assert instances_of(storage) == [EVERY_FIELD]

    def test_s78_look(self, storage: Storage) -> None:
        """S78: ``look`` returns what the question does, which sees what a read shows, be it in one
        look-up or in many; an exception reaches the caller."""
        keep(storage, EVERY_FIELD)
        with storage.transaction(SESSION, MANAGER) as unit:
            write_everything(unit)
        for uid in (SESSION, "another"):
            for question in (*SINGLE_LOOKS, all_seen):
                assert storage.look(uid, question) == read_session(storage, question, uid)

        def abort(_: SessionReader) -> None:
            raise Abort

        with pytest.raises(Abort):
            storage.look(SESSION, abort)

    def test_s79_look_is_consistent(self, storage: Storage) -> None:
        """S79: a question of several look-ups sees one state in all of them, whatever others commit
        meanwhile. It may be asked again for that."""
        keep_pair(storage, 0)
        is_written = threading.Event()

        def question(reader: SessionReader) -> list[int]:
            left = reader.latest_kwargs(["left"])["left"]["n"]
            if not is_written.is_set():
                elsewhere(lambda: keep_pair(storage, 1))
                is_written.set()
            right = reader.latest_kwargs(["right"])["right"]["n"]
            return [left, right, *(each.metadata["n"] for each in reader.instances())]

        assert storage.look(SESSION, question) in ([0, 0, 0], [1, 1, 1])


SINGLE_LOOKS: tuple[Callable[[SessionReader], object], ...] = (
    lambda reader: reader.manager_name(),
    lambda reader: reader.closing(),
    lambda reader: reader.configuration(),
    lambda reader: reader.instance("t_task", 7),
    lambda reader: reader.instances(),
    lambda reader: reader.instances(task_name="t_task", statuses=[Status.RUNNING]),
    lambda reader: reader.waiting_for("b"),
    lambda reader: reader.next_number("t_task"),
    lambda reader: reader.latest_kwargs(ASKED),
    lambda reader: reader.firing_count("a"),
    lambda reader: reader.firings("a", 1),
    lambda reader: sorted(reader.fired_triggers()),
    lambda reader: reader.last_fired_at(),
    lambda reader: reader.outcome("event"),
    lambda reader: reader.is_active(),
)
