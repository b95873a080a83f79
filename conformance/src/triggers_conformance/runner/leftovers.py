"""What has ended leaves nothing behind: no thread, no object, no context, no changed setting."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
from contextvars import Context
from functools import partial
from typing import Any

from triggers_conformance.bench import Bench
from triggers_conformance.rules import broken, rule
from triggers_conformance.runner.steps import BUSY, another_runner, each_go, held_instances, listed
from triggers_conformance.tasks import WHOSE
from triggers_conformance.waiting import wait_until
from triggers_core import TaskInstance, TriggerManager

ENDED_SESSIONS = 2 * BUSY
"""Each worker may keep its last one, and no more."""
CONTEXT_SESSIONS = 12
ODD_TIMEOUT = 12345.6


class Leftovers:
    """Checks R53, R54, R55."""

    @rule("R53", mend="forget futures, results and managers when they end; end threads of lanes")
    def test_r53_what_has_ended_is_forgotten(self, triggers_bench: Bench) -> None:
        """When sessions have ended, the runner keeps no threads for them and nothing of them."""
        triggers_bench.flush()
        threads = threading.active_count()
        uids = _run_sessions(triggers_bench)
        triggers_bench.flush()
        timeout = triggers_bench.timeout
        wait_until(lambda: threading.active_count() <= threads + BUSY, timeout)
        if threading.active_count() > threads + BUSY:
            broken(
                f"keeps {threading.active_count() - threads} more threads after "
                f"{ENDED_SESSIONS} sessions than before"
            )
        wait_until(lambda: max(_kept_of(uids)) <= BUSY, timeout)
        managers, instances = _kept_of(uids)
        if max(managers, instances) > BUSY:
            broken(
                f"keeps {managers} managers and {instances} instances of {ENDED_SESSIONS} sessions "
                "that have ended"
            )

    @rule("R54", mend="start threads in contextvars.Context(), and run no task in a caller's own")
    def test_r54_context_is_seen_by_nobody_else(self, triggers_bench: Bench) -> None:
        """A task sees no context variable that another session's caller or task has set."""
        sessions = [
            triggers_bench.session({**each_go("tell_whose"), "u": {"after": ["t"], "run": "note"}})
            for _ in range(CONTEXT_SESSIONS)
        ]
        # A new one, as the first caller of all may be the one that is seen.
        is_remote = "remote" in triggers_bench.capabilities
        runner = triggers_bench.runner if is_remote else another_runner(triggers_bench)
        for session in (*sessions, *sessions):
            own = Context()
            own.run(WHOSE.set, session.manager.session_uid)
            (instance,) = held_instances(session, "go", 1)
            run = partial(own.run, runner.run, session.manager, instance)
            triggers_bench.in_time(run, f"run(…, {instance.name})")
            session.settle_finished()
        for session in sessions:
            for note in session.notes("tell_whose"):
                if note.said not in (None, session.manager.session_uid):
                    broken("ran a task in a context that was set by or for another session")

    @rule("R55", mend="leave signals, logging and the environment to the application")
    def test_r55_the_process_keeps_its_settings(self, triggers_bench: Bench) -> None:
        """A runner that is built and used changes nothing that belongs to the whole process."""
        session = triggers_bench.session(each_go("note"))
        (instance,) = held_instances(session, "go", 1)
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(ODD_TIMEOUT)  # no runner built before has set it to that
        before = _settings()
        # Built in this thread: where it is the main one, signals could be taken over.
        runner = another_runner(triggers_bench)
        run = partial(runner.run, session.manager, instance)
        try:
            triggers_bench.in_time(run, f"run(…, {instance.name})")
            session.settle_finished()
            changed = {name for name, value in _settings().items() if value != before[name]}
        finally:
            socket.setdefaulttimeout(timeout)
        if callable(close := getattr(runner, "close", None)):
            triggers_bench.in_time(close, "close()")
        if changed:
            broken(f"changed {listed(changed)} of the process")


def _run_sessions(bench: Bench) -> set[str]:
    sessions = [bench.session(each_go("note")) for _ in range(ENDED_SESSIONS)]
    for session in sessions:
        session.fire("go")
    for session in sessions:
        session.settle_finished()
    return {session.manager.session_uid for session in sessions}


def _kept_of(uids: set[str]) -> tuple[int, int]:
    """Return how many managers and how many instances of the sessions are still alive."""
    gc.collect()
    found = [
        type(kept)
        for kept in gc.get_objects()
        if issubclass(type(kept), (TriggerManager, TaskInstance)) and kept.session_uid in uids
    ]
    managers = sum(issubclass(kept, TriggerManager) for kept in found)
    return managers, len(found) - managers


def _settings() -> dict[str, Any]:
    root = logging.getLogger()
    return {
        "the signal handlers": [signal.getsignal(number) for number in signal.valid_signals()],
        "the working directory": os.getcwd(),
        "the environment": dict(os.environ),
        "the root logger's level": root.level,
        "the root logger's handlers": list(root.handlers),
        "logging.disable": logging.root.manager.disable,
        "the sockets' default timeout": socket.getdefaulttimeout(),
        "sys.excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "the standard streams": (sys.stdin, sys.stdout, sys.stderr),
        "the recursion limit": sys.getrecursionlimit(),
    }
