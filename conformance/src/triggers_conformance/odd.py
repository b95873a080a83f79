"""Exceptions as tasks raise them in earnest, which whoever passes them on does not expect."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping


class CannotBeShown(Exception):
    """Whose ``str`` and ``repr`` raise, as those do that ask a closed connection."""

    def __str__(self) -> str:
        raise RuntimeError("there is no text")

    __repr__ = __str__


class CannotBePickled(Exception):
    """Which holds what belongs to its process, as a driver's errors do."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class CannotBeUnpickled(Exception):
    """Which wants more arguments than it passes on, as many libraries' errors do."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")


class HasAnOddMessage(Exception):
    """Whose message has NUL in it, which databases have no text for."""


class IsItsOwnCause(Exception):
    """Whose chain of causes is a circle."""

    def __init__(self) -> None:
        super().__init__("goes round")
        self.__cause__ = self


class OfItsOwnKind(BaseException):
    """As the time limits and cancellations of libraries are, which ``except Exception`` misses."""


ODD: Mapping[str, Callable[[], BaseException]] = {
    CannotBeShown.__name__: CannotBeShown,
    CannotBePickled.__name__: CannotBePickled,
    CannotBeUnpickled.__name__: lambda: CannotBeUnpickled(1, detail="two"),
    HasAnOddMessage.__name__: lambda: HasAnOddMessage("\x00"),
    IsItsOwnCause.__name__: IsItsOwnCause,
    StopIteration.__name__: StopIteration,
    TimeoutError.__name__: TimeoutError,
    MemoryError.__name__: MemoryError,
}
"""The name of the class → what makes one."""

ENDINGS: Mapping[str, Callable[[], BaseException]] = {
    ending.__name__: ending
    for ending in (asyncio.CancelledError, GeneratorExit, OfItsOwnKind, KeyboardInterrupt)
}
"""The same, of what is no ``Exception``."""
