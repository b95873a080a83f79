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
