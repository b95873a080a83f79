"""What is to be noted of an instance, or of a session's end, in a few words. Pure."""

from __future__ import annotations

from datetime import datetime, timezone

from triggers_core.rules.closing import Closing
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.remarks import BY, REASON

_EXACT_SECONDS = 10.0
"""What is shorter is told to a hundredth of a second."""


def note(instance: TaskInstance, now: float) -> str:
    """Return what is remarkable about the instance, in a few words; "" for nothing.

    Args:
        now: seconds since the epoch, UTC, by the storage's clock.
    """
    return "; ".join(filter(None, (said_of(instance), _happened(instance, now))))


def said_of(instance: TaskInstance) -> str:
    """Return why, and by whom, the instance was mended: "by Ada: the fee was waived"; "" where
    nobody said so."""
    return _said_by(instance.metadata.get(REASON), instance.metadata.get(BY))


def _said_by(reason: str | None, by: str | None) -> str:
    if by is None:
        return f"reason: {reason}" if reason else ""
    return f"by {by}: {reason}" if reason else f"by {by}"


def closed_at(closing: Closing, now: float) -> str:
    """Return how a session ended, in a line: "cancelled at … UTC (3.0 h ago), by Ada: …".

    Args:
        now: seconds since the epoch, UTC, by the storage's clock.
    """
    said = _said_by(closing.reason, closing.by)
    when = f"{closing.how} at {moment(closing.at)} UTC ({span(now - closing.at)} ago)"
    return f"{when}, {said}" if said else when


def followed_by(instance: TaskInstance) -> str:
    """Return what the failure of the instance has led to, whatever becomes of it now: "quote_failed
    was fired, which tell#0 took"; "" for nothing."""
    followed = instance.metadata.get("followed")
    if not followed:
        return ""
    return f"{followed['trigger']} was fired, which {', '.join(followed['took']) or 'nothing'} took"


def span(seconds: float) -> str:
    """Return a span of time to the precision that a person cares for."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def queued_for(instance: TaskInstance, now: float) -> str:
    """Return how long the instance was queued for a worker, or is so far; "" if it never was."""
    return _lasted(instance.scheduled_at, instance.started_at or instance.ended_at, now)


def ran_for(instance: TaskInstance, now: float) -> str:
    """Return how long the instance ran, or runs so far; "" if it has not started."""
    return _lasted(instance.started_at, instance.ended_at, now)


def moment(at: float) -> str:
    """Return a time as UTC, to the second, without saying so."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _lasted(start: float | None, end: float | None, now: float) -> str:
    if start is None:
        return ""
    seconds = (now if end is None else end) - start
    return f"{max(seconds, 0):.2f} s" if seconds < _EXACT_SECONDS else span(seconds)


def _happened(instance: TaskInstance, now: float) -> str:
    error = instance.metadata.get("error")
    if error:
        return _first_line(f"{error['type']}: {error['message']}")
    if instance.status is Status.SCHEDULED and instance.not_before > now:
        return f"delayed for another {span(instance.not_before - now)}"
    if instance.recover_at is not None and instance.recover_at <= now:
        return "claimed by no worker" if instance.status is Status.SCHEDULED else "worker lost"
    logs = instance.metadata.get("logs")
    return _first_line(f"{logs[-1]['level']}: {logs[-1]['message']}") if logs else ""


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
