"""How an instance is written in a row, and how what a store keeps is read: it may be damaged."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any, NoReturn

from triggers_core.errors import DamagedStore
from triggers_core.rules.closing import WAYS, Closing
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.kwargs import from_json, to_json
from triggers_core.rules.names import shown
from triggers_core.rules.remarks import BY, REASON

COLUMNS = (
    "task_name",
    "number",
    "status",
    "attempt",
    "parent",
    "config_digest",
    "trigger_kwargs",
    "waits_for",
    "not_before",
    "created_at",
    "changed_at",
    "recover_at",
    "reruns_left",
    "metadata",
    "counts",
)
"""An instance's columns, in the order of :func:`encode_instance`."""


def encode_instance(instance: TaskInstance) -> tuple[Any, ...]:
    """Return the instance as values of :data:`COLUMNS`: str, int, float or None."""
    return (
        instance.task_name,
        instance.number,
        instance.status.value,
        instance.attempt,
        instance.parent,
        instance.config_digest,
        to_json(instance.trigger_kwargs),
        to_json(sorted(instance.waits_for)),
        instance.not_before,
        instance.created_at,
        instance.changed_at,
        instance.recover_at,
        instance.reruns_left,
        to_json(instance.metadata),
        to_json(instance.counts) if instance.counts else None,
    )


def decode_instance(session_uid: str, row: tuple[Any, ...]) -> TaskInstance:
    """Return the instance in a row of :data:`COLUMNS`; it shares nothing with other reads.

    Raises:
        DamagedStore: :func:`encode_instance` cannot have written such a row.
    """
    try:
        return _decoded_instance(session_uid, row)
    except UNREADABLE as error:
        raise damaged(f"session {session_uid!r}, instance {row[0]}#{row[1]}", error) from error


def decode_object(text: Any, what: str) -> dict[str, Any]:
    """Return the JSON object that was kept for ``what`` ("trigger 'paid'"), or raise
    DamagedStore."""
    try:
        return _object(text)
    except UNREADABLE as error:
        raise damaged(what, error) from error


def decode_number(number: Any, what: str) -> int:
    """Return the number of an instance of ``what`` as it was kept, or raise DamagedStore."""
    if type(number) is not int or number < 0:
        raise damaged(what, f"it has an instance number {shown(number)}")
    return number


def decode_moment(moment: Any, what: str) -> float | None:
    """Return a time that was kept for ``what``, or None; or raise DamagedStore."""
    try:
        return None if moment is None else _moment(moment)
    except UNREADABLE as error:
        raise damaged(what, error) from error


def decode_session(session_uid: Any, manager_name: Any) -> tuple[str, str]:
    """Return both as they were kept, or raise DamagedStore."""
    if not isinstance(session_uid, str) or not isinstance(manager_name, str):
        raise damaged(f"session {shown(session_uid)}", f"its manager is {shown(manager_name)}")
    return session_uid, manager_name


def encode_closing(closing: Closing) -> str:
    """Return how a session ended as the text that is kept with it."""
    return to_json({key: value for key, value in asdict(closing).items() if value is not None})


def decode_closing(text: Any, what: str) -> Closing:
    """Return what :func:`encode_closing` wrote for ``what``, or raise DamagedStore."""
    try:
        return _closing(_object(text))
    except UNREADABLE as error:
        raise damaged(what, error) from error


def damaged(what: str, reason: object) -> DamagedStore:
    """Return the error that says what of the store cannot be read."""
    return DamagedStore(
        f"{what}: what the store keeps of it is damaged ({reason}); nothing was changed. "
        "Restore the store from a backup, or mend or delete that by hand"
    )


UNREADABLE = (ValueError, TypeError, RecursionError)
"""What reading something damaged may raise."""
_LATEST_TIME = 2.0**33
"""Seconds since the epoch: the year 2242. No time that was meant is later, and the operating
system cannot wait for one that is much later."""


def _decoded_instance(session_uid: str, row: tuple[Any, ...]) -> TaskInstance:
    (
        task_name,
        number,
        status,
        attempt,
        parent,
        config_digest,
        trigger_kwargs,
        waits_for,
        not_before,
        created_at,
        changed_at,
        recover_at,
        reruns_left,
        metadata,
        counts,
    ) = row
    for count in (number, attempt, reruns_left):
        if type(count) is not int or count < 0:
            _refuse(count, "a count")
    for moment in (not_before, created_at, changed_at, recover_at or 0.0):
        _moment(moment)
    return TaskInstance(
        session_uid=text_of(session_uid),
        task_name=text_of(task_name),
        number=number,
        config_digest=text_of(config_digest),
        status=Status(status),
        created_at=created_at,
        changed_at=changed_at,
        attempt=attempt,
        parent=None if parent is None else text_of(parent),
        trigger_kwargs=_objects(trigger_kwargs),
        waits_for=_texts(waits_for),
        not_before=not_before,
        recover_at=recover_at,
        reruns_left=reruns_left,
        metadata=_metadata(metadata),
        counts={} if counts is None else _counts(counts),
    )


_NUMBERS = (int, float)


def _moment(value: Any) -> float:
    if type(value) not in _NUMBERS or not isfinite(value) or value > _LATEST_TIME:
        _refuse(value, "a time")
    moment: float = value
    return moment


def _refuse(value: object, expected: str) -> NoReturn:
    raise ValueError(f"expected {expected}, not {shown(value)}")


def text_of(value: Any) -> str:
    """Return the value if it is text. Raises ValueError."""
    return value if isinstance(value, str) else _refuse(value, "text")


def _texts(text: Any) -> frozenset[str]:
    values = from_json(text_of(text))
    if not isinstance(values, list):
        _refuse(values, "a list")
    return frozenset(map(text_of, values))


def _object(text: Any) -> dict[str, Any]:
    value = from_json(text_of(text))
    return value if isinstance(value, dict) else _refuse(value, "an object")


def _objects(text: Any) -> dict[str, dict[str, Any]]:
    objects = _object(text)
    for value in objects.values():
        if not isinstance(value, dict):
            _refuse(value, "an object")
    return objects


def _counts(text: Any) -> dict[str, int]:
    counts = _object(text)
    for count in counts.values():
        if type(count) is not int or count < 0:
            _refuse(count, "a count")
    return counts


def _closing(values: dict[str, Any]) -> Closing:
    if values.get("how") not in WAYS:
        _refuse(values.get("how"), "how it ended")
    _moment(values.get("at"))
    for name in (REASON, BY):
        text_of(values.get(name, ""))
    return Closing(values["how"], values["at"], values.get(REASON), values.get(BY))


def _check_followed(followed: Any) -> None:
    took = followed.get("took") if isinstance(followed, dict) else None
    if not isinstance(took, list):
        _refuse(followed, "what followed from a failure")
    for name in (followed.get("trigger"), *took):
        text_of(name)


def _metadata(text: Any) -> dict[str, Any]:
    metadata = _object(text)
    error = metadata.get("error", {})
    if not isinstance(error, dict) or (error and not error.keys() >= {"type", "message"}):
        _refuse(error, "an error's type and message")
    if "followed" in metadata:
        _check_followed(metadata["followed"])
    times = metadata.get("times", {})
    for moment in times.values() if isinstance(times, dict) else _refuse(times, "times"):
        _moment(moment)
    for name in (REASON, BY):
        text_of(metadata.get(name, ""))
    return metadata
