"""Many threads, processes and forks at once."""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import replace
from functools import partial
from typing import ClassVar

import pytest

from triggers_conformance.storage.elsewhere import (
    elsewhere,
    fork_context,
    in_forked_child,
    in_threads,
)
from triggers_conformance.storage.samples import (
    DEADLINE_SECONDS,
    EVERY_FIELD,
    MANAGER,
    RUNNING,
    SESSION,
    THREADS,
    TURNS,
)
from triggers_conformance.storage.steps import (
    configure,
    instances_of,
    keep,
    keep_pair,
    keep_trigger,
    read_session,
)
from triggers_core import Storage


class Concurrency:
    """Checks S52 to S59."""

    shared_by_processes: ClassVar[bool]

    def test_s52_serial_transactions(self, storage: Storage) -> None:
        """S52: transactions on one session are serial: no thread's update is lost."""

        def count(_: int) -> None:
            for _turn in range(TURNS):
                with storage.transaction(SESSION, MANAGER) as unit:
                    n = unit.latest_kwargs(["counter"]).get("counter", {"n": 0})["n"]
                    unit.remember_trigger("counter", {"n": n + 1}, at=0.0)

        in_threads(THREADS, count)
        latest = read_session(storage, lambda reader: reader.latest_kwargs(["counter"]))
        assert latest == {"counter": {"n": THREADS * TURNS}}

    def test_s53_numbers_given_once(self, storage: Storage) -> None:
        """S53: no number is given twice, however many threads make instances."""
        configure(storage)

        def make(_: int) -> list[int]:
            given = []
            for _turn in range(TURNS):
                with storage.transaction(SESSION, MANAGER) as unit:
                    number = unit.next_number("t_task")
                    unit.save(replace(EVERY_FIELD, number=number))
                given.append(number)
            return given

        given = itertools.chain.from_iterable(in_threads(THREADS, make))
        assert sorted(given) == list(range(THREADS * TURNS))
        assert len(instances_of(storage)) == THREADS * TURNS

    def test_s54_one_session_made_once(self, storage: Storage) -> None:
        """S54: threads that open a new session at the same moment open the same one."""

        def remember(number: int) -> None:
            keep_trigger(storage, f"trigger {number}")

        in_threads(THREADS, remember)
        names = [f"trigger {number}" for number in range(THREADS)]
        assert list(storage.sessions()) == [(SESSION, MANAGER)]
        latest = read_session(storage, lambda reader: reader.latest_kwargs(names))
        assert sorted(latest) == names

    def test_s55_many_sessions(self, storage: Storage) -> None:
        """S55: threads change different sessions at the same time, and each change is kept."""

        def fill(number: int) -> None:
            for turn in range(TURNS):
                keep_trigger(storage, "a", kwargs={"turn": turn}, session_uid=f"session {number}")

        in_threads(THREADS, fill)
        for number in range(THREADS):
            latest = read_session(
                storage,
                lambda reader: reader.latest_kwargs(["a"]),
                session_uid=f"session {number}",
            )
            assert latest == {"a": {"turn": TURNS - 1}}

    def test_s56_readers_among_writers(self, storage: Storage) -> None:
        """S56: while threads write, what is read is always as some transaction left it."""
        writers = THREADS // 2
        keep_pair(storage, 0)

        def work(number: int) -> None:
            for turn in range(TURNS):
                if number < writers:
                    keep_pair(storage, number * TURNS + turn)
                    continue
                with storage.read(SESSION) as reader:
                    left = reader.latest_kwargs(["left"])["left"]
                    right = reader.latest_kwargs(["right"])["right"]
                    [waiting] = reader.waiting_for("b")
                assert left == right == waiting.metadata

        in_threads(THREADS, work)

    def test_s57_threads_come_and_go(self, storage: Storage) -> None:
        """S57: threads come and go, and what each of them did stays."""
        count = 50
        for number in range(count):
            elsewhere(partial(keep_trigger, storage, f"trigger {number}"))
        names = [f"trigger {number}" for number in range(count)]
        assert len(read_session(storage, lambda reader: reader.latest_kwargs(names))) == count

    def test_s58_fork(self, storage: Storage) -> None:
        """S58: a fork's child and its parent both go on using the storage, even where the fork
        came while another thread was in a transaction."""
        context = fork_context()
        keep(storage, EVERY_FIELD)
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
            assert instances_of(storage) == [EVERY_FIELD]
            return [instance.name for instance in instances_of(storage, "the child's")]

        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        assert is_open.wait(DEADLINE_SECONDS)
        # Not before the fork begins, and no later: the storage may make it wait for this.
        os.register_at_fork(before=may_end.set)
        assert in_forked_child(context, in_child) == [EVERY_FIELD.name]
        holder.join(DEADLINE_SECONDS)
        keep(storage, RUNNING)
        assert instances_of(storage) == [EVERY_FIELD, RUNNING]
        assert read_session(storage, lambda reader: reader.latest_kwargs(["held"])) == {"held": {}}

    def test_s59_fork_shares(self, storage: Storage) -> None:
        """S59: where processes share the store, all that a fork's child commits is kept, whatever
        its parent does with the storage meanwhile."""
        self._needs_shared_by_processes()
        context = fork_context()
        configure(storage)
        ours, theirs = context.Pipe()

        def in_child() -> None:
            keep_trigger(storage, "first")
            theirs.send("closing may begin")
            assert theirs.poll(DEADLINE_SECONDS)
            keep_trigger(storage, "second")

        def in_parent() -> None:
            assert ours.poll(DEADLINE_SECONDS)
            storage.close()
            ours.send("closed")

        closer = threading.Thread(target=in_parent, daemon=True)
        closer.start()
        in_forked_child(context, in_child)
        closer.join(DEADLINE_SECONDS)
        names = ["first", "second"]
        assert sorted(read_session(storage, lambda reader: reader.latest_kwargs(names))) == names

    def _needs_shared_by_processes(self) -> None:
        if not self.shared_by_processes:
            pytest.skip("not offered: shared_by_processes")
