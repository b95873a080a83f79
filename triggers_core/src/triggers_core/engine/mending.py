"""What a person does to an instance that went wrong: run it again, give it up, note it as seen.

Why, and who it was, is kept with the instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers_core.engine.change import change
from triggers_core.engine.effects import skip
from triggers_core.engine.session import Session
from triggers_core.engine.work import Work
from triggers_core.errors import InvalidKwargs, InvalidTransition
from triggers_core.rules.instance import NOT_BEGUN, Status, TaskInstance
from triggers_core.rules.kwargs import encode_kwargs, from_json, merge_kwargs
from triggers_core.rules.remarks import remark


def replay_failed(
    session: Session,
    name: str,
    replacement_kwargs: Mapping[str, Mapping[str, Any]] | None,
    *,
    merge: bool,
    reason: str | None,
    by: str | None,
) -> TaskInstance:
    """See :meth:`triggers_core.TriggerManager.replay_failed_instance`."""
    replacement = _replacement(name, replacement_kwargs)
    why = remark(reason, by, f"instance {name}")

    def replay(work: Work) -> TaskInstance:
        work.check_open()
        failed = _failed(work.find(name), "replayed")
        unknown = sorted(map(repr, replacement.keys() - failed.trigger_kwargs.keys()))
        if unknown:
            raise InvalidKwargs(
                f"instance {name}: cannot replace the kwargs of {unknown[0]}, which it "
                f"did not take; it took {', '.join(sorted(failed.trigger_kwargs))}"
            )
        for counted in sorted(replacement.keys() & failed.counts.keys()):
            raise InvalidKwargs(
                f"instance {name}: cannot replace the kwargs of {counted!r}, which it counts: it "
                f"took them {failed.counts[counted]} times"
            )
        return work.replay(
            failed.with_remark(why),
            attempt=1,
            config_digest=_present_digest(work, failed),
            trigger_kwargs=_merged(failed, replacement) if merge else replacement,
        )

    return change(session, replay)


def skip_failed(
    session: Session,
    name: str,
    *,
    cascade: bool,
    result: Mapping[str, Any] | None,
    reason: str | None,
    by: str | None,
) -> TaskInstance:
    """See :meth:`triggers_core.TriggerManager.skip_failed_instance`."""
    kwargs = from_json(encode_kwargs(result, f"instance {name}, result"))
    if result is not None and not cascade:
        raise InvalidKwargs(f"instance {name}: a result needs cascade=True to go anywhere")
    why = remark(reason, by, f"instance {name}")

    def give_up(work: Work) -> TaskInstance:
        work.check_open()
        failed = _failed(work.find(name), "skipped")
        return skip(work, failed.with_remark(why), cascade=cascade, result=kwargs)

    return change(session, give_up)


def abandon(session: Session, name: str, *, reason: str, by: str | None) -> TaskInstance:
    """See :meth:`triggers_core.TriggerManager.abandon_instance`."""
    if reason is None:
        raise InvalidKwargs(f"instance {name}, reason: expected a few words, as a str, not None")
    why = remark(reason, by, f"instance {name}")

    def give_up(work: Work) -> TaskInstance:
        work.check_open()
        found = work.find(name)
        if found.status not in NOT_BEGUN:
            raise InvalidTransition(
                f"instance {name} is {found.status}; only an unstarted or scheduled one can be "
                "abandoned"
            )
        return work.change_to(found.with_remark(why), Status.ABANDONED)

    return change(session, give_up)


def mark_logs_resolved(
    session: Session, name: str, *, reason: str | None, by: str | None
) -> TaskInstance:
    """See :meth:`triggers_core.TriggerManager.mark_instance_logs_resolved`."""
    why = remark(reason, by, f"instance {name}")

    def resolve(work: Work) -> TaskInstance:
        found = work.find(name)
        if found.is_resolved:
            return found
        resolved = found.with_metadata(logs_resolved=True).with_remark(why)
        work.keep(resolved)
        return resolved

    return change(session, resolve)


def _present_digest(work: Work, instance: TaskInstance) -> str:
    """Return the digest of the present configuration; the instance's own, if that no longer has
    its task."""
    configuration = work.unit.configuration()
    is_there = instance.task_name in configuration
    return configuration.digest if is_there else instance.config_digest


def _failed(instance: TaskInstance, past: str) -> TaskInstance:
    if instance.status is not Status.FAILED:
        raise InvalidTransition(
            f"instance {instance.name} is {instance.status}; only a failed one can be {past}"
        )
    return instance


def _merged(failed: TaskInstance, replacement: Mapping[str, Any]) -> dict[str, Any]:
    return {
        trigger_name: merge_kwargs(failed.trigger_kwargs[trigger_name], kwargs)
        for trigger_name, kwargs in replacement.items()
    }


def _replacement(
    name: str, replacement_kwargs: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Any]:
    if replacement_kwargs is None:
        return {}
    if not isinstance(replacement_kwargs, Mapping):
        raise InvalidKwargs(
            f"instance {name}: the replacement must be a mapping of trigger names to kwargs, "
            f"not {type(replacement_kwargs).__name__}"
        )
    return {
        trigger_name: from_json(encode_kwargs(kwargs, f"trigger {trigger_name!r}"))
        for trigger_name, kwargs in replacement_kwargs.items()
    }
