"""Around a fork: what has locks or connections that must not cross it is told before and after.

``os.register_at_fork`` keeps what it is given for ever; here it may be let go.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """What :func:`call_at_fork` calls, in the thread that forks."""

    def before_fork(self) -> None:
        """Come to rest: wait for other threads, and let none begin until :meth:`after_fork`."""

    def after_fork(self, *, in_child: bool) -> None:
        """Go on. The child has no other threads, and the locks as they were held."""


_forkables: WeakSet[Forkable] = WeakSet()
_resting: list[Forkable] = []
_lock = threading.Lock()


def call_at_fork(forkable: Forkable) -> None:
    """Call the object around each fork of this process, for as long as it lives."""
    with _lock:
        _forkables.add(forkable)


class ProcessLock:
    """A lock among the threads of one process.

    Attributes:
        lock: re-entrant; nobody holds it in a fork's child, whoever did at the fork. For what is
            changed in single steps, as a step that was under way is not in the child.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        call_at_fork(self)

    def before_fork(self) -> None:
        """Wait for nobody: whoever holds it may be waiting for the thread that forks."""

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self.lock = threading.RLock()


def _before() -> None:
    _lock.acquire()
    for forkable in list(_forkables):
        forkable.before_fork()
        _resting.append(forkable)


def _after_in_parent() -> None:
    while _resting:
        _resting.pop().after_fork(in_child=False)
    _lock.release()


def _after_in_child() -> None:
    # Not every server that forks in C calls what is to be called before.
    _resting.clear()
    if _lock.locked():
        _lock.release()
    for forkable in list(_forkables):
        forkable.after_fork(in_child=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
