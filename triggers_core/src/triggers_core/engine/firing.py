"""Triggers fired into a session, from values that may be wrong: checked whole before anything
changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from triggers_core.engine.change import change
from triggers_core.engine.effects import CheckedFiring, fire_each
from triggers_core.engine.foresight import foresee
from triggers_core.engine.notices import tell_of_unawaited
from triggers_core.engine.outcome import FireOutcome
from triggers_core.engine.session import Session
from triggers_core.errors import InvalidKwargs
from triggers_core.rules.config import Configuration
from triggers_core.rules.kwargs import encode_kwargs, from_json
from triggers_core.rules.names import check_name, shown
from triggers_core.storage.base import Foreseen

Firing = (
    tuple[str]
    | tuple[str, Mapping[str, Any] | None]
    | tuple[str, Mapping[str, Any] | None, str | None]
)
"""A trigger's name, with its kwargs, with an ``event_id``."""
_LONGEST_FIRING = 3


def fire_all(session: Session, firings: Iterable[Firing]) -> list[FireOutcome]:
    """Fire in order, in one transaction. See :meth:`triggers_core.TriggerManager.fire_many`."""
    if not isinstance(firings, Iterable):
        raise InvalidKwargs(f"expected firings to iterate over, not {shown(firings)}")
    checked = [_checked(*_as_firing(firing)) for firing in firings]

    def ahead(configuration: Configuration) -> Foreseen:
        names, _, events = zip(*checked, strict=True) if checked else ((), (), ())
        return foresee(configuration, triggers=names, events=events)

    outcomes, configuration = change(session, partial(fire_each, firings=checked), foresee=ahead)
    tell_of_unawaited(session.session_uid, configuration, outcomes)
    return outcomes


def _as_firing(firing: Any) -> Firing:
    if isinstance(firing, (tuple, list)) and 1 <= len(firing) <= _LONGEST_FIRING:
        checked: Firing = tuple(firing)
        return checked
    raise InvalidKwargs(
        f"a firing is (trigger_name, trigger_kwargs, event_id), the last two optional, "
        f"not {shown(firing)}"
    )


def _checked(
    trigger_name: str,
    trigger_kwargs: Mapping[str, Any] | None = None,
    event_id: str | None = None,
) -> CheckedFiring:
    check_name(trigger_name, "trigger")
    kwargs = from_json(encode_kwargs(trigger_kwargs, f"trigger {trigger_name!r}"))
    if event_id is not None:
        check_name(event_id, "event")
    return trigger_name, kwargs, event_id
