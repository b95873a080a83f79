"""How a session is changed: in one transaction, which is told of and dispatched from afterwards.

:func:`change` is the only way in which the framework alters a session. Whatever it applies is one
transaction; observers and runners hear of it once it is committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from triggers_core.engine.dispatch import dispatch
from triggers_core.engine.foresight import foresee
from triggers_core.engine.session import Session
from triggers_core.engine.work import Work
from triggers_core.errors import DispatchError, StorageError, TransientStorageError
from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import ACTIVE, Status, TaskInstance, split_instance_name
from triggers_core.storage.base import Foreseen

Applied = TypeVar("Applied")
Foresee = Callable[[Configuration], Foreseen]

RETRY_PAUSES_SECONDS = (0.0, 0.1, 0.3)
"""Before each further try of a change that the store undid."""

DISPATCH_RETRY_SECONDS = 10.0
"""From a dispatch that failed to the earliest time at which recovery makes it again."""

_logger = logging.getLogger(__name__)


def change(
    session: Session, apply: Callable[[Work], Applied], *, foresee: Foresee = foresee
) -> Applied:
    """Change the session in one transaction; once it is committed, tell and dispatch.

    Args:
        apply: makes the change, and nothing else: it is called once more, for a transaction of
            its own, where the store undid the one before. What it returns is returned.
        foresee: what it will ask, for the configuration that the session probably has.

    Raises:
        DispatchError: the change is committed, but a runner did not accept an instance.
        StorageError: nothing was changed.
    """
    work, applied, settled = _committed(session, apply, foresee)
    if session.plugins.is_observed:
        _tell(session, work, settled)
    try:
        dispatch(session, work.to_dispatch)
    except DispatchError as error:
        try:
            _recover_soon(session, error.instance_names)
        except StorageError:
            _logger.exception("recovery will find these after the dispatch timeout only")
        raise
    return applied


def _committed(
    session: Session, apply: Callable[[Work], Applied], foresee: Foresee
) -> tuple[Work, Applied, bool]:
    """Return the work, what ``apply`` returned, and whether the session has come to rest by it."""
    for pause in RETRY_PAUSES_SECONDS:
        try:
            return _tried(session, apply, foresee)
        except TransientStorageError as error:
            _logger.warning("session %r: trying again: %s", session.session_uid, error)
            time.sleep(pause)
    return _tried(session, apply, foresee)


def _tried(
    session: Session, apply: Callable[[Work], Applied], foresee: Foresee
) -> tuple[Work, Applied, bool]:
    settled = False
    with session.storage.foreseeing(session.session_uid, session.name, foresee) as unit:
        work = Work(session, unit)
        applied = apply(work)
        work.remember_triggers()
        if session.plugins.has_hook("triggers_settled"):
            settled = any(_ended(*item) for item in work.changed) and not unit.is_active()
    return work, applied, settled


def _recover_soon(session: Session, instance_names: tuple[str, ...]) -> None:
    recover_at = session.storage.now() + DISPATCH_RETRY_SECONDS
    with session.storage.transaction(session.session_uid, session.name) as unit:
        for name in instance_names:
            instance = unit.instance(*split_instance_name(name))
            if instance is not None and instance.status is Status.SCHEDULED:
                unit.save(instance.changed(recover_at=recover_at))


def _tell(session: Session, work: Work, settled: bool) -> None:
    observe = session.plugins.observe
    for trigger_name, trigger_kwargs, outcome in work.fired:
        observe(
            "triggers_fired",
            manager=session,
            trigger_name=trigger_name,
            trigger_kwargs=trigger_kwargs,
            outcome=outcome,
        )
    for instance, old_status in work.changed:
        observe(
            "triggers_status_changed",
            manager=session,
            task_instance=instance,
            old_status=old_status,
        )
        if instance.status is Status.SKIPPED:
            observe("triggers_skipped", manager=session, task_instance=instance)
    for instance, clone in work.replayed:
        observe("triggers_replayed", manager=session, task_instance=instance, clone=clone)
    if work.closed is not None:
        observe("triggers_closed", manager=session, closing=work.closed)
    if settled:
        observe("triggers_settled", manager=session)


def _ended(instance: TaskInstance, old_status: Status | None) -> bool:
    return old_status in ACTIVE and instance.status not in ACTIVE
