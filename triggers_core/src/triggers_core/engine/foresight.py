"""What a change will ask of its session, told before the session is open, so that a storage that is
a network away can read all of it in one go."""

from __future__ import annotations

from collections.abc import Iterable

from triggers_core.rules.config import Configuration
from triggers_core.storage.base import Foreseen


def foresee(
    configuration: Configuration,
    *,
    triggers: Iterable[str] = (),
    events: Iterable[str | None] = (),
    instances: Iterable[tuple[str, int]] = (),
) -> Foreseen:
    """Return what is asked where these triggers are fired and these instances looked at.

    Args:
        configuration: the one that the session probably has.
        events: the triggers' ``event_id``, None for one that has none.
    """
    fired = tuple(dict.fromkeys(triggers))
    concerned = [(name, task) for name in fired for task in configuration.tasks_with(name)]
    latest = (each for name, task in concerned for each in sorted(task.triggers - {name}))
    return Foreseen(
        instances=tuple(instances),
        triggers=fired,
        tasks=tuple(dict.fromkeys(task.name for _, task in concerned)),
        latest=tuple(dict.fromkeys(latest)),
        events=tuple(dict.fromkeys(event for event in events if event is not None)),
    )
