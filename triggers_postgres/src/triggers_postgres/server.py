"""One connection to the server: straight to a process of it, or through a pooler, behind which each
transaction may be another process's.

A transaction pooler (pgbouncer is one) carries nothing from one transaction to the next: what was
prepared in one is not there in another, and what was set for the session stays with a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import capabilities
from psycopg.pq.abc import PGconn

if TYPE_CHECKING:
    from typing_extensions import LiteralString

IDLE_IN_TRANSACTION_SECONDS = 60.0
"""After which the server frees a session that is locked by a machine which is gone."""

_LIMITS: LiteralString = """
    SELECT set_config(name, setting, {})
    FROM (VALUES ('lock_timeout', %(lock)s), ('idle_in_transaction_session_timeout', %(idle)s))
        AS wanted (name, setting)
    WHERE current_setting(name) = '0'
"""
"""Only where neither the server, nor the role, nor the URL has set them."""

# A pooler makes up the number that it gives as the server process's, by which one may be told to
# cancel. Where the two differ, what is set ends with this very statement.
_SET_UP = (
    "SELECT pg_backend_pid() = %(pid)s, "
    f"(SELECT count(*) FROM ({_LIMITS.format('NOT %(keeps)s OR pg_backend_pid() <> %(pid)s')}) _)"
)
_SET_LOCALLY = _LIMITS.format("true")


Values = tuple[Any, ...] | Mapping[str, Any]


class Connection(psycopg.Connection[Any]):
    """A connection that limits how long its transactions wait for a lock, or do nothing."""

    _limits: dict[str, str]
    _sets_locally = True

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self._unsent: list[tuple[bytes, Values]] = []

    def set_up(self, *, lock_timeout: float, prepare: bool | None) -> None:
        """Find out whether there is a pooler in between. One round trip.

        Args:
            lock_timeout: in seconds.
            prepare: whether statements that come again are prepared: None for where no pooler is
                in between. False also takes it for granted that there is one.
        """
        self._limits = {
            "lock": _milliseconds(lock_timeout),
            "idle": _milliseconds(IDLE_IN_TRANSACTION_SECONDS),
        }
        values = {**self._limits, "pid": self.info.backend_pid, "keeps": prepare is not False}
        row = self.execute(_SET_UP, values).fetchone()
        is_direct = row is not None and row[0]
        self._sets_locally = prepare is False or not is_direct
        if not (is_direct if prepare is None else prepare):
            self.prepare_threshold = None

    def begin(self, mode: LiteralString) -> None:
        """Begin a transaction, in a mode as ``BEGIN`` takes it."""
        self.forget_unsent()  # of one that is to be made again
        self.execute(f"BEGIN {mode}")
        if self._sets_locally:
            self.execute(_SET_LOCALLY, self._limits)

    def send_later(self, query: bytes, values: Values) -> None:
        """Execute it before whatever is asked next, together with that."""
        self._unsent.append((query, values))

    def forget_unsent(self) -> None:
        """Execute nothing of what was to be sent later."""
        self._unsent.clear()

    def send(self) -> None:
        """Execute what was to be sent later. Within a pipeline this waits for no answer."""
        cursor = self.cursor()
        for query, values in self._unsent:
            cursor.execute(query, values)
        self._unsent.clear()

    def ask(self, cursor: psycopg.Cursor[Any], query: bytes, values: Values) -> psycopg.Cursor[Any]:
        """Execute the query, and before it what was to be sent later: in one round trip."""
        if not self._unsent:
            return cursor.execute(query, values)
        with pipeline(self):
            self.send()
            return cursor.execute(query, values)


def pipeline(connection: psycopg.Connection[Any]) -> AbstractContextManager[Any]:
    """Send statements without waiting for the answer to each, where libpq can (from 14 on).

    One that fails is raised by a later one, or at the end.
    """
    return connection.pipeline() if capabilities.has_pipeline() else nullcontext()


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
