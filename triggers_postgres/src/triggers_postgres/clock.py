"""One clock for all machines, the database server's, without asking the server each time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

MAX_AGE_SECONDS = 60.0
"""How long a reading is gone by; clocks drift by less than a hundredth of a second in that."""

MAX_JUMP_SECONDS = 1.0
"""By how much this machine's two clocks may disagree before a reading is no longer trusted: it
was suspended, or somebody set its time."""


@dataclass(frozen=True)
class Reading:
    """What the server's clock showed, and this machine's two at the same moment.

    Off by at most half the time that the question took.
    """

    server: float
    monotonic: float
    wall: float

    @classmethod
    def take(cls, connection: psycopg.Connection) -> Reading:
        """Ask the server."""
        asked = time.monotonic()
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        answered = time.monotonic()
        assert row is not None  # a SELECT without FROM has one row
        return cls(row[0], (asked + answered) / 2, time.time())

    @property
    def is_good(self) -> bool:
        """Whether the time can still be told by this reading."""
        by_monotonic = time.monotonic() - self.monotonic
        by_wall = time.time() - self.wall
        return by_monotonic < MAX_AGE_SECONDS and abs(by_wall - by_monotonic) < MAX_JUMP_SECONDS

    def now(self) -> float:
        """Return what the server's clock shows now, in seconds since the epoch."""
        return self.server + time.monotonic() - self.monotonic
