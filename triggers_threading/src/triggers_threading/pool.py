"""Threads that run calls now or later, and finish them before the interpreter exits.

``concurrent.futures`` has neither delays nor a way to submit from a call that still runs while
the interpreter shuts down, which is when a task's cascade would be lost.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

LINGER_SECONDS = 0.1
"""How long a thread without work waits for more; it also bounds the delay at exit."""


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
        self.reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_reset, weakref.ref(self)))

    def submit(self, function: Callable[[], object], *, delay: float = 0.0) -> None:
        """Run the function, no sooner than ``delay`` seconds from now.

        Raises:
            RuntimeError: no thread can be started; the function will not run.
        """
        with self._changed:
            call = _Call(time.monotonic() + max(delay, 0.0), next(self._order), function)
            heapq.heappush(self._waiting, call)
            try:
                self._start_thread_if_needed()
            except RuntimeError:
                # At interpreter exit no thread can be started, but those that live go on.
                if not self._threads:
                    self._waiting.remove(call)
                    heapq.heapify(self._waiting)
                    raise
            self._unfinished += 1
            self._changed.notify()

    def join(self, timeout: float | None = None) -> int:
        """Wait until no call is waiting or running; return how many are left at the timeout.

        Args:
            timeout: seconds; None to wait for as long as it takes.
        """
        with self._all_finished:
            self._all_finished.wait_for(lambda: self._unfinished == 0, timeout)
            return self._unfinished

    def is_own_thread(self) -> bool:
        """Return whether the caller is one of the pool's threads."""
        return threading.current_thread() in self._threads

    def reset(self) -> None:
        """Become empty, as a new pool; for a fork's child, which has none of the threads."""
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._all_finished = threading.Condition(lock)
        self._order = itertools.count()
        self._waiting: list[_Call] = []
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._unfinished = 0

    def _start_thread_if_needed(self) -> None:
        if self._idle >= len(self._waiting) or len(self._threads) >= self._max_workers:
            return
        thread = threading.Thread(target=self._work, name=self._name, daemon=False)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self._threads.discard(thread)
            raise

    def _work(self) -> None:
        while (call := self._next_call()) is not None:
            try:
                call.function()
            except BaseException as error:
                self._on_error(error)
            finally:
                with self._all_finished:
                    self._unfinished -= 1
                    if self._unfinished == 0:
                        self._all_finished.notify_all()

    def _next_call(self) -> _Call | None:
        """Return the next call when it is due, or None when this thread is to end."""
        with self._changed:
            self._idle += 1
            try:
                while True:
                    delay = self._waiting[0].due - time.monotonic() if self._waiting else None
                    if delay is not None and delay <= 0:
                        return heapq.heappop(self._waiting)
                    if self._idle <= len(self._waiting):
                        self._changed.wait(delay)
                    elif not self._changed.wait(LINGER_SECONDS) and self._is_surplus():
                        self._threads.discard(threading.current_thread())
                        return None
            finally:
                self._idle -= 1

    def _is_surplus(self) -> bool:
        return self._idle > len(self._waiting)


def _reset(reference: weakref.ref[ThreadPool]) -> None:
    pool = reference()
    if pool is not None:
        pool.reset()
