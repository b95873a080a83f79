"""A fork's child that does one thing, says what came of it, and is gone; with a deadline on it."""

from __future__ import annotations

import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn

SAID_BYTES = 4096
"""At most what a pipe takes in one piece."""


def said_in_fork(function: Callable[[], str], timeout: float) -> str | None:
    """Return what the function returns in a fork's child; None where it does not in time.

    A plain ``os.fork``, as a server makes that forks its workers: what ``multiprocessing`` tells
    those who ask it about a fork is not told here.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of what this is about: a fork while there are threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _say(writing, function)
    os.close(writing)
    try:
        is_told, _, _ = select.select([reading], [], [], timeout)
        return os.read(reading, SAID_BYTES).decode("utf-8", "replace") if is_told else None
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)


def _say(writing: int, function: Callable[[], str]) -> NoReturn:
    """Never return: what comes after in the parent is not the child's to do."""
    try:
        said = function()
    except BaseException:
        said = traceback.format_exc()
    try:
        os.write(writing, said.encode("utf-8", "replace")[-SAID_BYTES:])
    finally:
        os._exit(0)
