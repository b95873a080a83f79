"""A process is forked, a runner is closed, the interpreter exits: what was accepted is not lost."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable
from contextlib import suppress

from triggers_conformance.bench import Bench, Session
from triggers_conformance.forked import said_in_fork
from triggers_conformance.notes import Note, read_notes
from triggers_conformance.rules import broken, not_checked, not_offered, rule
from triggers_conformance.runner.leaving import LEAVING, leaving_process
from triggers_conformance.runner.steps import (
    another_runner,
    check_has_close,
    each_go,
    held_instances,
    is_named,
    listed,
    workers_busy,
)
from triggers_conformance.waiting import DeadlinePassed, call_within, wait_until
from triggers_core import DispatchError

LEFT = 40
"""More than the workers that engines have by default, so that some run and some wait."""
START_SECONDS = 60.0
"""Within which another interpreter must have started; only a machine that hangs needs it."""
LOOK_SECONDS = 0.5
RAN, REFUSED, LOST = "ran", "refused", "lost"


class Lifecycle:
    """Checks R40, R41, R42, R56."""

    @rule("R40", mend="start your threads anew in the child (os.register_at_fork), or raise there")
    def test_r40_a_forked_child_runs_or_refuses(self, triggers_bench: Bench) -> None:
        """In a fork's child, ``run`` raises, or what it accepts is executed."""
        if not hasattr(os, "fork"):
            not_checked("this platform has no fork")
        session = triggers_bench.session(each_go("note"))
        session.fire("go")
        session.settle_finished()
        triggers_bench.flush()

        def fire_in_child() -> str:
            try:
                session.fire_unwatched("go")
            except DispatchError:
                return REFUSED
            ended = wait_until(lambda: not _is_active(session), triggers_bench.timeout)
            return RAN if ended else LOST

        timeout = triggers_bench.timeout
        said = said_in_fork(fire_in_child, 2 * timeout)
        if said is None:
            broken(f"did not return from run() within {timeout:g} s in a fork's child")
        if said == LOST:
            broken(
                f"accepted an instance in a fork's child, and had not executed it {timeout:g} s "
                "later; none of the threads that the parent had is in the child"
            )
        if said not in (RAN, REFUSED):
            broken(f"failed in a fork's child:\n{said}")

    @rule(
        "R41",
        mend="finish the queue in threads that are no daemons; log by name what is left; or "
        "declare 'volatile'",
    )
    def test_r41_exit_finishes_or_names_what_is_left(self, triggers_bench: Bench) -> None:
        """When the interpreter exits, what was accepted is finished, or named in the log."""
        capabilities = triggers_bench.capabilities
        if "volatile" in capabilities:
            not_offered("the runner declares 'volatile': what is left at exit waits for recovery")
        if "remote" in capabilities:
            not_offered("the runner declares 'remote': what it accepted is in another process")
        if "inline" in capabilities:
            not_offered("the runner declares 'inline': nothing is left when run() returns")
        triggers_bench.runner  # noqa: B018 - where it cannot be had, that is what is to be said
        folder = triggers_bench.folder / f"leaving-{uuid.uuid4()}"
        folder.mkdir()
        timeout = triggers_bench.timeout
        with leaving_process(triggers_bench, folder, LEFT, START_SECONDS) as (process, output):
            left = folder / LEAVING
            wait_until(lambda: left.exists() or process.poll() is not None, START_SECONDS)
            if not left.exists():
                not_checked(f"the harness cannot be used in a process of its own:\n{output()}")
            # A runner that waits for its work does so until the gate is open.
            wait_until(lambda: process.poll() is not None, LOOK_SECONDS)
            (folder / "gate").touch()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                broken(f"kept the interpreter from exiting for {timeout:g} s after its work")
            notes = read_notes(left.read_text(encoding="utf-8"))
            ended = {note.instance_name for note in notes if note.step == "ended"}
            lost = {f"t#{number}" for number in range(LEFT)} - ended
            said = output()
            unsaid = {name for name in lost if not is_named(name, said)}
        if unsaid:
            broken(
                f"dropped {len(lost)} of {LEFT} instances when the interpreter exited, and did not "
                f"name {listed(sorted(unsaid)[:5])} in the log"
            )

    @rule("R42", mend="raise in run() once close() was called; or start anew")
    def test_r42_a_closed_runner_runs_or_refuses(self, triggers_bench: Bench) -> None:
        """After ``close()``, ``run`` raises, or what it accepts is executed."""
        check_has_close(triggers_bench)
        runner = another_runner(triggers_bench)
        session = triggers_bench.session(each_go("note"))
        first, second = held_instances(session, "go", 2)
        manager = session.manager
        triggers_bench.in_time(
            lambda: runner.run(manager=manager, task_instance=first), f"run(…, {first.name})"
        )
        session.wait_for_note("note")
        triggers_bench.in_time(runner.close, "close()")
        if _raises(
            lambda: runner.run(manager=manager, task_instance=second), triggers_bench.timeout
        ):
            return
        if not wait_until(lambda: len(session.notes()) > 1, triggers_bench.timeout):
            broken(
                "accepted an instance after close(), and had not executed it "
                f"{triggers_bench.timeout:g} s later"
            )

    @rule("R56", mend="in the child, begin with an empty queue; what is in it is the parent's")
    def test_r56_a_forked_child_leaves_the_parents_work(self, triggers_bench: Bench) -> None:
        """In a fork's child, nothing is executed that its parent has accepted."""
        if not hasattr(os, "fork"):
            not_checked("this platform has no fork")
        if "remote" in triggers_bench.capabilities:
            not_offered("the runner declares 'remote': what it accepted is in another process")
        session = triggers_bench.session(each_go("note"))
        with workers_busy(triggers_bench) as busy:
            session.fire("go")

            def fire_in_child() -> str:
                # It starts the child's threads, if there are to be any.
                with suppress(DispatchError):
                    session.fire_unwatched("go")
                wait_until(lambda: _notes_of(os.getpid(), session, busy), LOOK_SECONDS)
                return listed({note.instance_name for note in _notes_of(os.getpid(), busy)})

            said = said_in_fork(fire_in_child, 2 * triggers_bench.timeout + LOOK_SECONDS)
            if said:
                broken(f"ran in a fork's child what its parent had accepted: {said}")


def _notes_of(pid: int, *sessions: Session) -> list[Note]:
    return [note for session in sessions for note in session.notes() if note.pid == pid]


def _is_active(session: Session) -> bool:
    with session.manager.storage.read(session.manager.session_uid) as reader:
        return reader.is_active()


def _raises(function: Callable[[], object], timeout: float) -> bool:
    try:
        call_within(timeout, function)
    except DeadlinePassed:
        broken(f"did not return from run() within {timeout:g} s after close()")
    except Exception:
        return True
    return False
