"""What a fire did, told to whoever fired and kept for its ``event_id``; and what a change of the
configuration did, or the session's end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from triggers_core.rules.closing import Closing
from triggers_core.rules.names import shown
from triggers_core.storage.row import damaged


@dataclass(frozen=True)
class FireOutcome:
    """What one trigger did, as instance names in the order in which it was done.

    Attributes:
        trigger_name: the trigger.
        created: the instances that it made.
        taken: the instances that existed and took it.
        scheduled: those of both that became ready.
        abandoned: those of both that were abandoned.
        is_awaited: whether any task of the session's configuration names the trigger; it is
            recorded all the same.
    """

    trigger_name: str
    created: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    scheduled: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    is_awaited: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FireOutcome:
        """Return the outcome that :meth:`to_dict` wrote, or raise DamagedStore."""
        try:
            return cls(
                trigger_name=values["trigger_name"],
                **{key: tuple(values[key]) for key in _LISTS},
                is_awaited=bool(values.get("is_awaited", True)),  # which was not always kept
            )
        except (KeyError, TypeError) as error:
            raise damaged(f"the outcome of an event, {shown(values)}", repr(error)) from error


_LISTS = tuple(each.name for each in fields(FireOutcome) if each.default == ())


@dataclass(frozen=True)
class ConfigurationOutcome:
    """What a change of a session's configuration did, or would do. Instances that wait are named
    only where tasks were taken out, instances updated, or the change only tried.

    Attributes:
        added: the tasks that are new, as written.
        replaced: the tasks whose directives are others now.
        retired: the tasks that were taken out.
        updated: the unstarted instances that live by the new directives of their task.
        scheduled: those of them that became ready by that.
        abandoned: those of them whose ``unless`` is complete by that, and those of no task.
        kept: the unstarted instances that go on by directives which the configuration has not,
            or no longer, for their task.
        stranded: the tasks that await the end of one that was taken out, or its failure, and so
            wait for ever unless somebody fires its trigger.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    scheduled: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    stranded: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)

    @property
    def is_change(self) -> bool:
        """Whether anything is, or would be, other than before."""
        return any((self.added, self.replaced, self.retired, self.updated, self.abandoned))


@dataclass(frozen=True)
class ClosingOutcome:
    """What cancelling or closing a session did.

    Attributes:
        closing: how, when, why and by whom it was closed: the first time, if it was before.
        abandoned: the instances that had not begun, and do not any more.
        running: those that a worker had begun, and that may finish; their cascades start nothing.
        is_change: False where the session had been closed before, and nothing was changed.
    """

    closing: Closing
    abandoned: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    is_change: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)
