"""How a session is brought to its end: nothing in it begins any more, and nothing can be added.

What runs is not stopped: it is told when it asks, and its end is recorded.
"""

from __future__ import annotations

from triggers_core.engine.change import change
from triggers_core.engine.effects import names
from triggers_core.engine.outcome import ClosingOutcome
from triggers_core.engine.session import Session
from triggers_core.engine.work import Work
from triggers_core.errors import InvalidTransition
from triggers_core.rules.closing import CANCELLED, CLOSED, Closing
from triggers_core.rules.instance import ACTIVE, NOT_BEGUN, OPEN, Status
from triggers_core.rules.remarks import remark

MOST_NAMED = 10
"""Instances that an error names; the rest are counted."""


def cancel(session: Session, *, reason: str | None, by: str | None) -> ClosingOutcome:
    """See :meth:`triggers_core.TriggerManager.cancel`."""
    why = remark(reason, by, f"session {session.session_uid!r}")
    return change(session, lambda work: _end(work, Closing(CANCELLED, work.at, **why)))


def close(session: Session, *, reason: str | None, by: str | None) -> ClosingOutcome:
    """See :meth:`triggers_core.TriggerManager.close`."""
    why = remark(reason, by, f"session {session.session_uid!r}")

    def end(work: Work) -> ClosingOutcome:
        if work.closing is None:
            _check_at_rest(work)
        return _end(work, Closing(CLOSED, work.at, **why))

    return change(session, end)


def _end(work: Work, closing: Closing) -> ClosingOutcome:
    still_open = work.unit.instances(statuses=OPEN)
    running = names(still_open, Status.RUNNING)
    if work.closing is not None:
        return ClosingOutcome(work.closing, running=running, is_change=False)
    abandoned = [
        work.change_to(each.with_remark(closing.parting), Status.ABANDONED)
        for each in still_open
        if each.status in NOT_BEGUN
    ]
    work.close(closing)
    return ClosingOutcome(closing, abandoned=names(abandoned), running=running)


def _check_at_rest(work: Work) -> None:
    active = work.unit.instances(statuses=ACTIVE)
    if not active:
        return
    named = ", ".join(f"{each.name} is {each.status}" for each in active[:MOST_NAMED])
    rest = f", and {len(active) - MOST_NAMED} more" if len(active) > MOST_NAMED else ""
    raise InvalidTransition(
        f"session {work.session_uid!r} cannot be closed yet: {named}{rest}; wait for them, or "
        "cancel the session"
    )
