"""How a session ended: what is kept of it when it is cancelled or closed."""

from __future__ import annotations

from dataclasses import dataclass

from triggers_core.rules.remarks import BY, REASON

CANCELLED, CLOSED = "cancelled", "closed"
WAYS = frozenset({CANCELLED, CLOSED})


@dataclass(frozen=True)
class Closing:
    """That a session is over, and how it came to be.

    Attributes:
        how: ``"cancelled"``, whatever was still to come; or ``"closed"``, when nothing was under
            way any more.
        at: when, in seconds since the epoch, UTC.
        reason: why, as whoever did it said; None where they did not.
        by: who did it; None where they did not say.
    """

    how: str
    at: float
    reason: str | None = None
    by: str | None = None

    def __str__(self) -> str:
        """Return it as a few words: ``cancelled by Ada: the plans were withdrawn``."""
        who = f" by {self.by}" if self.by else ""
        return f"{self.how}{who}{f': {self.reason}' if self.reason else ''}"

    @property
    def parting(self) -> dict[str, str]:
        """The remark with which what had not begun is abandoned."""
        reason = self.reason or f"the session was {self.how}"
        return {REASON: reason, **({BY: self.by} if self.by else {})}
