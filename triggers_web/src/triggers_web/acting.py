"""What a page's form does to an instance, or to a session. Each is a method of the manager's, and
nothing is decided here but what a page offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from triggers_core import TaskInstance, TriggerManager
from triggers_core.errors import InvalidKwargs
from triggers_core.insight.diagnosis import Facts
from triggers_core.rules.instance import ACTIVE, Status
from triggers_core.rules.kwargs import from_json

SURE = "sure"
"""The field that is marked before something is done for good."""

Form = Mapping[str, str]
"""Field → what was typed."""


def replay(manager: TriggerManager, name: str, form: Form) -> TaskInstance:
    kwargs = _object("the replacement kwargs", form.get("kwargs", ""))
    return manager.replay_failed_instance(name, kwargs, **_remark(form))


def skip(manager: TriggerManager, name: str, form: Form) -> TaskInstance:
    _check_sure(form)
    cascade = "cascade" in form
    result = _object("the result", form.get("result", "")) if cascade else None
    return manager.skip_failed_instance(name, cascade=cascade, result=result, **_remark(form))


def abandon(manager: TriggerManager, name: str, form: Form) -> TaskInstance:
    _check_sure(form)
    return manager.abandon_instance(name, **_remark(form))


def resolve(manager: TriggerManager, name: str, form: Form) -> TaskInstance:
    return manager.mark_instance_logs_resolved(name, **_remark(form))


def reconfigure(manager: TriggerManager, name: str, _form: Form) -> TaskInstance:
    return manager.update_instance_configuration(name)


ACTIONS: Mapping[str, Callable[[TriggerManager, str, Form], TaskInstance]] = {
    action.__name__: action for action in (replay, skip, resolve, reconfigure, abandon)
}
"""By the path that a form is sent to. Each returns the instance to be shown then.

They raise what the manager's methods do; InvalidKwargs for what cannot be read in the form too.
"""


def cancel(manager: TriggerManager, form: Form) -> None:
    _check_sure(form)
    manager.cancel(**_remark(form))


def close(manager: TriggerManager, form: Form) -> None:
    _check_sure(form)
    manager.close(**_remark(form))


ENDINGS: Mapping[str, Callable[[TriggerManager, Form], None]] = {"cancel": cancel, "close": close}
"""By the path that a form is sent to: what ends a session. They raise as the others do."""


def endings(facts: Facts) -> tuple[str, ...]:
    """Return how the session can be ended as it stands."""
    if facts.closing is not None:
        return ()
    is_active = any(instance.status in ACTIVE for instance in facts.instances)
    return ("cancel",) if is_active else ("cancel", "close")


def offered(instance: TaskInstance, facts: Facts) -> tuple[str, ...]:
    """Return the actions that can be done to the instance as it stands."""
    is_open = facts.closing is None
    is_failed = is_open and instance.status is Status.FAILED
    waits = is_open and instance.status is Status.UNSTARTED
    can = {
        "replay": is_failed,
        "skip": is_failed,
        "resolve": not instance.is_resolved,
        "reconfigure": waits and facts.is_outdated(instance),
        "abandon": waits or (is_open and instance.status is Status.SCHEDULED),
    }
    return tuple(action for action in ACTIONS if can[action])


def _check_sure(form: Form) -> None:
    """Browsers ask for the mark by themselves; whatever else sends the form must have it too."""
    if SURE not in form:
        raise InvalidKwargs("this cannot be taken back: mark that you are sure, and send it again")


def _remark(form: Form) -> dict[str, Any]:
    """Return the fields that say why, and who it is; what was left empty says nothing."""
    return {field: form.get(field) or None for field in ("reason", "by")}


def _object(what: str, text: str) -> Any:
    """Return the JSON that a person has typed; the manager checks what it is."""
    try:
        return from_json(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        raise InvalidKwargs(f"{what}: expected a JSON object: {error}") from error
