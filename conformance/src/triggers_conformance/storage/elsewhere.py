"""Other threads and processes, with a deadline on each."""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import pytest

from triggers_conformance.storage.samples import DEADLINE_SECONDS

Result = TypeVar("Result")


def in_threads(count: int, function: Callable[[int], Result]) -> list[Result]:
    """Call the function in threads that start together; return what each returned, in order."""
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    together = threading.Barrier(count)

    def call(number: int) -> None:
        try:
            together.wait(DEADLINE_SECONDS)
            results[number] = function(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + DEADLINE_SECONDS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))
    if errors:
        raise errors[0]
    hanging = sum(thread.is_alive() for thread in threads)
    assert not hanging, f"{hanging} of {count} threads still wait after {DEADLINE_SECONDS} s"
    return [results[number] for number in range(count)]


def elsewhere(function: Callable[[], Result]) -> Result:
    """Return what the function returns in a thread of its own."""
    [result] = in_threads(1, lambda _: function())
    return result


def fork_context() -> Any:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this platform has no fork")
    return multiprocessing.get_context("fork")


def in_forked_child(context: Any, function: Callable[[], Result]) -> Result:
    """Return what the function returns in a fork's child."""
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(theirs, function), daemon=True)
    with warnings.catch_warnings():
        # Newer Pythons warn of what this is about: a fork while there are threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    try:
        assert ours.poll(DEADLINE_SECONDS), "the fork's child hangs"
        is_fine, outcome = ours.recv()
    finally:
        child.kill()
        child.join()
    assert is_fine, f"in the fork's child:\n{outcome}"
    result: Result = outcome
    return result


def _report(connection: Connection, function: Callable[[], object]) -> None:
    try:
        connection.send((True, function()))
    except BaseException:
        connection.send((False, traceback.format_exc()))
