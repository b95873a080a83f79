"""A worker's sign of life: while a task runs, its instance's lease is renewed (rule X6), together
with the others of its process that are kept in the same storage.

The lease is lost with the worker, and nothing else has to be done for that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

from triggers_core.engine.session import Session
from triggers_core.forks import call_at_fork
from triggers_core.rules.instance import TaskInstance
from triggers_core.storage.base import HeldLease, Storage

RENEWALS_PER_LEASE = 3
TRIES_PER_RENEWAL = 4
"""How often one that fails is tried before the next would be due."""

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Lease:
    session: Session
    instance: TaskInstance
    renew_at: float  # time.monotonic()

    @property
    def interval(self) -> float:
        return self.session.lease_duration / RENEWALS_PER_LEASE

    @property
    def held(self) -> HeldLease:
        session, instance = self.session, self.instance
        return HeldLease(
            session.name,
            session.session_uid,
            instance.task_name,
            instance.number,
            session.lease_duration,
        )


class LeaseKeeper:
    """Renews the leases held in this process, from one thread.

    The thread is started with the first lease, if not before, and then stays: when the interpreter
    exits, and pending tasks are finished, it may be too late to start one.

    A fork's child starts with an empty keeper: it has neither the thread nor the tasks.
    """

    def __init__(self) -> None:
        self._thread_runs = False
        self._reset()
        call_at_fork(self)

    def start(self) -> None:
        """Start the thread, unless it runs. A runner whose tasks run in this process, be it after
        the main thread's end, calls this when it accepts one."""
        with self._changed:
            if self._thread_runs:
                return
            thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                _logger.warning("leases cannot be renewed at interpreter exit: %s", error)
            else:
                self._thread_runs = True

    @contextmanager
    def holding(self, session: Session, instance: TaskInstance) -> Iterator[None]:
        """Renew the running instance's lease until the body is left."""
        self.start()
        lease = _Lease(session, instance, renew_at=0.0)
        lease.renew_at = time.monotonic() + lease.interval
        with self._changed:
            self._leases.add(lease)
            if lease.renew_at < self._wakes_at:  # else it sees the lease in time by itself
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._leases.discard(lease)

    def before_fork(self) -> None:
        """Nothing is to come to rest: the child keeps nothing of it."""

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._leases: set[_Lease] = set()
        self._wakes_at = inf
        self._thread_runs = False

    def _renew_for_ever(self) -> None:
        while True:
            leases = self._next_due()
            try:
                _renew(leases)
            except Exception:
                names = ", ".join(lease.instance.name for lease in leases)
                _logger.exception("the lease of %s could not be renewed", names)
                self._try_again_soon(leases)
            del leases  # an idle keeper keeps no storage alive

    def _next_due(self) -> list[_Lease]:
        """Return a lease when it is to be renewed, and with it all others in the same storage."""
        with self._changed:
            while True:
                lease = min(self._leases, key=lambda held: held.renew_at, default=None)
                now = time.monotonic()
                if lease is not None and lease.renew_at <= now:
                    return self._together(lease.session.storage, now)
                self._wakes_at = inf if lease is None else lease.renew_at
                seconds = None if lease is None else lease.renew_at - now
                del lease  # it may end while this waits, and is then not to be kept
                self._changed.wait(seconds)

    def _together(self, storage: Storage, now: float) -> list[_Lease]:
        leases = [lease for lease in self._leases if lease.session.storage is storage]
        for lease in leases:
            lease.renew_at = now + lease.interval
        return leases

    def _try_again_soon(self, leases: list[_Lease]) -> None:
        now = time.monotonic()
        with self._changed:
            for lease in leases:
                lease.renew_at = min(lease.renew_at, now + lease.interval / TRIES_PER_RENEWAL)


def _renew(leases: list[_Lease]) -> None:
    leases[0].session.storage.renew_leases([lease.held for lease in leases])


KEEPER = LeaseKeeper()
"""One for the process, since a process lives or dies as a whole. Empty while no task runs."""
