"""Waiting for what other threads and processes do: until it is so, or a deadline has passed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.05
"""Seconds between two looks; each pause is longer than the one before."""

Value = TypeVar("Value")


class DeadlinePassed(Exception):
    """A call did not return in time. It goes on in a thread of its own."""


class Patience:
    """How long checks wait for each single thing, by how fast the runner has been so far.

    Args:
        most: seconds; the runner's first task gets as long.
    """

    LEAST = 10.0
    """Seconds for a fast runner; a machine may be busy with something else for some."""
    LEAST_ONCE_BROKEN = 3.0
    """A verdict that is known already can be had sooner."""
    TIMES_A_TASK = 100.0
    IN_VAIN = 40.0
    """Seconds after which nothing more is waited for: a report is to take under a minute."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._task_seconds: float | None = None
        self._waited_in_vain = 0.0

    @property
    def seconds(self) -> float:
        """How long to wait now."""
        if self._task_seconds is None:
            return min(self._most, self.LEAST) if self._waited_in_vain else self._most
        least = self.LEAST_ONCE_BROKEN if self._waited_in_vain else self.LEAST
        return min(self._most, max(least, self.TIMES_A_TASK * self._task_seconds))

    @property
    def is_over(self) -> bool:
        """Whether too much was waited for that never came."""
        return self._waited_in_vain > self.IN_VAIN

    def learn(self, task_seconds: float) -> None:
        """Take it that one task takes about as long."""
        self._task_seconds = task_seconds

    def waited_in_vain(self, seconds: float) -> None:
        """Remember that this was waited for, and did not come."""
        self._waited_in_vain += seconds


def wait_until(condition: Callable[[], Value], timeout: float) -> Value | None:
    """Return the condition's first true value, or None when it has none within the timeout."""
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE
    while not (value := condition()):
        if time.monotonic() >= deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
    return value


def wait_while_moving(left: Callable[[], Value], timeout: float, longest: float) -> Value:
    """Wait until nothing is left, and for as long as what is left changes; return what is.

    Args:
        timeout: seconds without a change after which it is given up.
        longest: seconds after which it is given up however it changes.
    """
    ends_at = time.monotonic() + longest
    still_until = time.monotonic() + timeout
    pause = FIRST_PAUSE
    now_left = left()
    while now_left and time.monotonic() < min(ends_at, still_until):
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
        before, now_left = now_left, left()
        if now_left != before:
            still_until = time.monotonic() + timeout
    return now_left


def call_within(timeout: float, function: Callable[[], Value]) -> Value:
    """Call the function in another thread, and return or raise as it does.

    Raises:
        DeadlinePassed: it did not return within the timeout.
    """
    returned: list[Value] = []
    raised: list[BaseException] = []

    def call() -> None:
        try:
            returned.append(function())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, name="conformance", daemon=True)
    thread.start()
    thread.join(timeout)
    if raised:
        raise raised[0]
    if not returned:
        raise DeadlinePassed(f"no return within {timeout:g} s")
    return returned[0]
