"""What may be the name of a session, a task, a trigger, an event or an alias."""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from typing import Any

from triggers_core.errors import InvalidName

MAX_NAME_LENGTH = 255
"""Characters. The longest name that every supported database can index."""

_RUNNERS_TO_INSTALL = ("celery", "threading")
"""Those that this project publishes, as triggers-NAME."""


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxdict = 8
        self.maxstring = self.maxother = 80

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python refuses to write out numbers as long as that
            return f"an int of {x.bit_length()} bits"


shown = _Shown().repr
"""Value → how an error shows it: shortened, whatever its size, depth and own ``repr``."""


def most_alike(name: str, known: Collection[str]) -> str | None:
    """Return the known name that was probably meant; None where none is alike."""
    from difflib import get_close_matches  # noqa: PLC0415 - slow to import, rarely used

    return next(iter(get_close_matches(name, known, n=1)), None)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return the question for the known name that was probably meant; "" where none is alike."""
    alike = most_alike(name, known)
    return "" if alike is None else f"did you mean {alike!r}?"


def runner_advice(name: str, known: Collection[str]) -> str:
    """Return what to do about a task runner that is not installed. No package is made up for a name
    that nobody here has heard of."""
    if name in _RUNNERS_TO_INSTALL:
        return f"pip install triggers-{name}"
    return did_you_mean(name, known) or "install the distribution that registers it"


def check_name(name: Any, kind: str) -> str:
    """Return ``name`` when it can be the name of a ``kind`` ("trigger", "session", …).

    Raises:
        InvalidName: it is no string, empty, longer than :data:`MAX_NAME_LENGTH`, has spaces at
            an end, or holds a character that cannot be printed (line breaks, NUL, lone
            surrogates).
    """
    if not isinstance(name, str):
        raise InvalidName(f"{kind} name: expected a str, not {type(name).__name__}: {shown(name)}")
    if not name or name != name.strip():
        raise InvalidName(f"{kind} name {shown(name)} is empty or has spaces at an end; trim it")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidName(
            f"{kind} name {name[:40]!r}… has {len(name)} characters; use at most {MAX_NAME_LENGTH}"
        )
    if not name.isprintable():
        raise InvalidName(f"{kind} name {name!r} holds a character that cannot be printed")
    return name
