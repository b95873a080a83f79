"""What a lost message, worker or process leaves behind, taken up again.

Safe to run on any number of machines at once, and at any time: an instance is given to one pass
at a time, and whatever a pass dispatches in vain is dropped by the claim.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Literal

from triggers_core.engine.change import change
from triggers_core.engine.effects import fail
from triggers_core.engine.work import Work
from triggers_core.errors import TriggersError
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import Plugins, default_plugins
from triggers_core.rules.closing import Closing
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.storage.base import Storage

DEFAULT_LIMIT = 100
DEFAULT_INTERVAL = 10.0
HOLD_SECONDS = 10.0
"""How long an instance is one pass's own; one that the pass could not help is tried again after."""

RecoveredBy = Literal["dispatched", "rerun", "failed", "errors"]

_logger = logging.getLogger(__name__)


@dataclass
class Recovered:
    """What one pass did, as (session uid, instance name).

    Attributes:
        dispatched: scheduled instances that no worker had claimed, handed to their runner again.
        rerun: running instances whose worker was lost, replayed; by the lost one's name.
        failed: running instances whose worker was lost, recorded as failed.
        errors: those that could not be helped, each logged with the reason.
    """

    dispatched: list[tuple[str, str]] = field(default_factory=list)
    rerun: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many instances the pass dealt with."""
        return sum(map(len, (self.dispatched, self.rerun, self.failed, self.errors)))


def recover_once(
    storage: Storage, *, plugins: Plugins | None = None, limit: int = DEFAULT_LIMIT
) -> Recovered:
    """Take up to ``limit`` lost instances, the longest lost first, and set each going again.

    An error with one is logged, listed, and keeps no other back.

    Raises:
        StorageError: the store cannot be asked.
    """
    plugins = plugins or default_plugins()
    recovered = Recovered()
    hold_until = storage.now() + HOLD_SECONDS
    for lost in storage.take_lost(limit=limit, hold_until=hold_until):
        session_uid, name = str(lost.session_uid), lost.name
        done: RecoveredBy | None
        try:
            manager = plugins.managers.load(lost.manager_name)(
                session_uid, storage=storage, plugins=plugins
            )
            done = take_over(manager, lost.instance)
        except Exception as error:  # a manager's constructor may raise anything
            _log(f"session {session_uid!r}: {name} could not be recovered", error)
            done = "errors"
        if done is not None:
            _logger.info("session %r: %s was lost: %s", session_uid, name, done)
            getattr(recovered, done).append((session_uid, name))
    return recovered


def run_forever(
    storage: Storage,
    *,
    plugins: Plugins | None = None,
    interval: float = DEFAULT_INTERVAL,
    stop: threading.Event | None = None,
) -> None:
    """Make a pass every ``interval`` seconds; more at once while one finds all that it may.

    Args:
        stop: set it to end the loop after the pass under way.
    """
    stop = stop or threading.Event()
    while not stop.is_set():
        try:
            found = recover_once(storage, plugins=plugins)
        except Exception as error:
            _log("this recovery pass could not be made, and the next will try again", error)
            found = Recovered()
        if found.count < DEFAULT_LIMIT:
            stop.wait(interval)


def take_over(manager: TriggerManager, lost: TaskInstance) -> RecoveredBy | None:
    """Set one instance going again that is lost as it stands.

    Atomic: of all who take over the same instance, one does.

    Returns:
        What was done; None where the instance has changed by now and needs no help.

    Raises:
        DispatchError: it is recorded, but reached no runner; a later pass sends it.
    """

    def take(work: Work) -> RecoveredBy | None:
        current = work.find(lost.name)
        if current != lost:
            return None
        if current.status is Status.SCHEDULED:
            work.dispatch_again(current)
            return "dispatched"
        is_rerun = current.reruns_left > 0 and work.closing is None
        error = _worker_lost(current, work.closing)
        if is_rerun:
            current = current.with_metadata(error=error)
            work.replay(current, attempt=current.attempt + 1, config_digest=current.config_digest)
            return "rerun"
        fail(work, current, error)
        return "failed"

    return change(manager, take)


def _log(what: str, error: Exception) -> None:
    """Log an error of the framework's own in a line, which is enough, and another's whole."""
    traceback = None if isinstance(error, TriggersError) else error
    _logger.error("%s: %s", what, error, exc_info=traceback)


def _worker_lost(instance: TaskInstance, closing: Closing | None) -> dict[str, str]:
    reruns = "" if instance.reruns_left else "; the task allows no further attempt"
    if closing is not None:
        reruns = f"; the session was {closing.how} meanwhile, and there is no further attempt"
    return {
        "type": "WorkerLost",
        "message": f"attempt {instance.attempt}: the worker gave no sign of life until the lease "
        f"ran out{reruns}",
        "traceback": "",
    }
