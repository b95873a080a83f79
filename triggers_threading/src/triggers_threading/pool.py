"""Threads that run calls now or later, and finish them before the interpreter exits.

``concurrent.futures`` has neither delays nor a way to submit from a call that still runs while
the interpreter shuts down, which is when a task's cascade would be lost.
"""

from __future__ import annotations

import heapq
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from weakref import WeakSet

LINGER_SECONDS = 0.1
"""How long a thread without work waits for more; it also bounds the delay at exit."""


class Tally:
    """Counts what is not finished yet, and waits until nothing is left. Thread-safe."""

    def __init__(self) -> None:
        self._none_left = threading.Condition()
        self._count = 0

    def begin(self) -> None:
        """Count one more."""
        with self._none_left:
            self._count += 1

    def end(self) -> None:
        """Count one less."""
        with self._none_left:
            self._count -= 1
            if self._count == 0:
                self._none_left.notify_all()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until nothing is left; return how much is left at the timeout.

        Args:
            timeout: seconds; None to wait for as long as it takes.
        """
        with self._none_left:
            self._none_left.wait_for(lambda: self._count == 0, timeout)
            return self._count


class _PoolThread(threading.Thread):
    """A thread of whichever pool."""


def is_pool_thread() -> bool:
    """Return whether the caller is a thread of any pool of this process."""
    return isinstance(threading.current_thread(), _PoolThread)


def join_all(timeout: float | None = None) -> int:
    """Wait until no call of any pool of this process is left; return how many are at the timeout.

    Args:
        timeout: seconds; None to wait for as long as it takes.
    """
    return _everywhere.wait(timeout)


@dataclass(order=True)
class _Call:
    due: float
    order: int
    function: Callable[[], object] = field(compare=False)


class ThreadPool:
    """Runs calls in up to ``max_workers`` threads, the one due first first. Thread-safe.

    A thread is started when no idle one is left, and ends when there is nothing more to do.
    The threads are no daemons: the interpreter waits for them, so for every submitted call.
    A fork's child starts with an empty pool; the calls stay with the parent.

    Args:
        on_error: called, in the thread, with what a call raised.
    """

    def __init__(
        self, max_workers: int, name: str, on_error: Callable[[BaseException], None]
    ) -> None:
        self._max_workers = max_workers
        self._name = name
        self._on_error = on_error
        self._reset()
        _POOLS.add(self)

    def submit(self, function: Callable[[], object], *, delay: float = 0.0) -> None:
        """Run the function, no sooner than ``delay`` seconds from now.

        Raises:
            RuntimeError: no thread can be started, or the interpreter exits and does not wait for
                the caller; the function will not run.
        """
        if _is_too_late():
            raise RuntimeError("the interpreter exits, and does not wait for this thread's work")
        with self._changed:
            call = _Call(time.monotonic() + max(delay, 0.0), next(self._order), function)
            heapq.heappush(self._waiting, call)
            self._begin()
            try:
                self._start_thread_if_needed()
            except Exception:
                # At interpreter exit no thread can be started, but those that live go on.
                if not self._threads:
                    self._withdraw(call)
                    raise
            self._changed.notify()

    def join(self, timeout: float | None = None) -> int:
        """Wait until no call is waiting or running; return how many are left at the timeout.

        Args:
            timeout: seconds; None to wait for as long as it takes.
        """
        return self._unfinished.wait(timeout)

    def is_own_thread(self) -> bool:
        """Return whether the caller is one of the pool's threads."""
        return threading.current_thread() in self._threads

    def _reset(self) -> None:
        """Become empty, as a new pool."""
        self._changed = threading.Condition(threading.Lock())
        self._order = itertools.count()
        self._waiting: list[_Call] = []
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._unfinished = Tally()

    def _start_thread_if_needed(self) -> None:
        if self._idle >= len(self._waiting) or len(self._threads) >= self._max_workers:
            return
        thread = _PoolThread(target=self._work, name=self._name, daemon=False)
        self._threads.add(thread)
        try:
            # In a context of its own: where threads inherit one, it is that of whoever came first.
            Context().run(thread.start)
        except Exception:
            self._threads.discard(thread)
            raise

    def _withdraw(self, call: _Call) -> None:
        self._waiting.remove(call)
        heapq.heapify(self._waiting)
        self._end()

    def _work(self) -> None:
        while (call := self._next_call()) is not None:
            self._run(call)
            del call  # an idle thread keeps nothing of its last call alive

    def _run(self, call: _Call) -> None:
        try:
            call.function()
        except BaseException as error:
            self._report(error)
        finally:
            self._end()

    def _report(self, error: BaseException) -> None:
        try:
            self._on_error(error)
        except BaseException:
            # The thread outlives this too, so it is shown as what ends a thread is shown.
            what = threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
            threading.excepthook(what)

    def _begin(self) -> None:
        for tally in (self._unfinished, _everywhere):
            tally.begin()

    def _end(self) -> None:
        for tally in (self._unfinished, _everywhere):
            tally.end()

    def _next_call(self) -> _Call | None:
        """Return the next call when it is due, or None when this thread is to end.

        A notification can come just as a wait ends by itself, and is then lost. That does no
        harm: a thread that waits long waits for a call of its own, so whoever ends as surplus
        leaves another that looks again within :data:`LINGER_SECONDS`.
        """
        with self._changed:
            self._idle += 1
            try:
                while True:
                    delay = self._waiting[0].due - time.monotonic() if self._waiting else None
                    if delay is not None and delay <= 0:
                        return heapq.heappop(self._waiting)
                    if delay is not None and self._idle <= len(self._waiting):
                        self._changed.wait(min(delay, threading.TIMEOUT_MAX))
                    elif not self._changed.wait(LINGER_SECONDS) and self._is_surplus():
                        # In the same breath as the decision: submit counts on who is left.
                        self._threads.discard(threading.current_thread())
                        return None
            finally:
                self._idle -= 1

    def _is_surplus(self) -> bool:
        return self._idle > len(self._waiting)


_POOLS: WeakSet[ThreadPool] = WeakSet()
_everywhere = Tally()


def _reset_all() -> None:
    """In a fork's child: it has none of the threads, and the locks as they were held."""
    global _everywhere  # noqa: PLW0603 - one for the process, and this is another process
    _everywhere = Tally()
    for pool in list(_POOLS):
        pool._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)


def _is_too_late() -> bool:
    """Return whether the caller is one for whom the exiting interpreter waits no longer: an exit
    handler, which runs once the other threads have been awaited, or a daemon thread."""
    main, caller = threading.main_thread(), threading.current_thread()
    return not main.is_alive() and (caller is main or caller.daemon)
