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
from triggers_core.storage.base import Foreseen


class Views:
    """Checks S25 to S31, S85 to S88."""

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

    def test_s85_look(self, storage: Storage) -> None:
        """S85: ``look`` returns what the question does, which sees what a read shows, be it in one
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

    def test_s86_look_is_consistent(self, storage: Storage) -> None:
        """S86: a question of several look-ups sees one state in all of them, whatever others commit
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

    @pytest.mark.parametrize("is_known", [True, False])
    def test_s87_foreseen(self, storage: Storage, is_known: bool) -> None:
        """S87: what was foreseen, or not, a transaction sees the session as it is, and its own
        writes, by every look-up; a session that is new, too."""
        if is_known:
            keep(storage, EVERY_FIELD, replace(EVERY_FIELD, number=3, waits_for=frozenset("ab")))
            with storage.transaction(SESSION, MANAGER) as unit:
                unit.remember_trigger("c", {"n": 3}, at=0.0)
                unit.record_outcome("before", {"n": 3})
        before = {**read_session(storage, all_seen), "manager_name": MANAGER}
        foreseen = Foreseen(
            instances=(("t_task", 7), ("t_task", 8), ("nosuch", 0)),
            triggers=ASKED,
            tasks=("t_task", "nosuch"),
            latest=ASKED,
            events=("event", "before"),
        )
        with storage.foreseeing(SESSION, MANAGER, lambda _: foreseen) as unit:
            assert all_seen(unit) == before
            assert unit.instance("t_task", 7) == (EVERY_FIELD if is_known else None)
            assert unit.outcome("before") == ({"n": 3} if is_known else None)
            assert unit.next_number("nosuch") == 0
            unit.configure(CONFIGURATION)
            write_everything(unit)
            assert unit.instance("t_task", 7) == EVERY_FIELD
            unit.save(replace(EVERY_FIELD, waits_for=frozenset("ac")))
            unit.save(replace(EVERY_FIELD, number=LAST_NUMBER, waits_for=frozenset("c")))
            unit.remember_trigger("a", {"n": 2}, at=1.0)
            after = all_seen(unit)
            found = unit.instance("t_task", 7)
        assert read_session(storage, all_seen) == after
        assert found == replace(EVERY_FIELD, waits_for=frozenset("ac"))
        assert after["latest_kwargs"]["a"] == {"n": 2}
        assert after["next_number"] == LAST_NUMBER + 1

    def test_s88_foreseen_reads_are_copies(self, storage: Storage) -> None:
        """S88: to change what was read, though it was foreseen, changes nothing."""
        keep(storage, EVERY_FIELD)
        foreseen = Foreseen(instances=(("t_task", 7),), triggers=("b",))
        with storage.foreseeing(SESSION, MANAGER, lambda _: foreseen) as unit:
            looks: list[Callable[[], TaskInstance | None]] = [
                lambda: unit.instance("t_task", 7),
                lambda: unit.waiting_for("b")[0],
            ]
            for look in looks:
                found = look()
                assert found is not None
                found.trigger_kwargs["a"]["tags"].append("spoilt")
                assert look() == EVERY_FIELD


LAST_NUMBER = 12
"""Of an instance that is made among others."""

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
