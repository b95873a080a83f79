"""What is legal and looks like a mistake, said once in a process: in its log."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from triggers_core.engine.outcome import FireOutcome
from triggers_core.rules.config import Configuration, unclaimed_text
from triggers_core.rules.names import did_you_mean

MOST_REMEMBERED = 1000
"""Names that are not told of again."""

_logger = logging.getLogger(__name__)
_told: set[tuple[str, str]] = set()


def tell_of_unclaimed(unclaimed: Iterable[tuple[str, str]]) -> None:
    """Warn of directives that nobody claims, as (task name, directive)."""
    for task_name, directive in unclaimed:
        if _is_new("directive", directive):
            _logger.warning("%s", unclaimed_text(task_name, directive))


def tell_of_unawaited(
    session_uid: str, configuration: Configuration, outcomes: Iterable[FireOutcome]
) -> None:
    """Warn of triggers that no task of the session's configuration names; of none before there is
    one, as the order of the two is no matter."""
    for outcome in outcomes:
        name = outcome.trigger_name
        if outcome.is_awaited or not configuration or not _is_new("trigger", name):
            continue
        known = {known for task in configuration.values() for known in task.triggers}
        advice = did_you_mean(name, known)
        _logger.warning(
            "session %r: the trigger %r is recorded, but no task waits for it%s",
            session_uid,
            name,
            f"; {advice}" if advice else "",
        )


def _is_new(kind: str, name: str) -> bool:
    key = kind, name
    if key in _told or len(_told) >= MOST_REMEMBERED:
        return False
    _told.add(key)
    return True
