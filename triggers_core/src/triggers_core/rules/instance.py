"""A task instance: one execution that is awaited, under way or over.

The table of allowed transitions stands here and nowhere else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from triggers_core.errors import InstanceNotFound, InvalidName, InvalidTransition
from triggers_core.rules.names import check_name, shown
from triggers_core.rules.remarks import BY, REASON


class Status(str, Enum):
    """Where an instance stands. The value is what storages keep."""

    UNSTARTED = "unstarted"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    ABANDONED = "abandoned"
    REPLAYED = "replayed"
    SKIPPED = "skipped"

    def __str__(self) -> str:
        return self.value


_DEALT_WITH = frozenset({Status.REPLAYED, Status.SKIPPED})
_INSTANCE_NAME = re.compile("(.+)#(0|[1-9][0-9]{0,14})")
"""Up to 15 digits: every number that long fits a database's 64-bit integer."""

ACTIVE = frozenset({Status.SCHEDULED, Status.RUNNING})
"""The statuses of an instance that a runner has, or should have."""

NOT_BEGUN = frozenset({Status.UNSTARTED, Status.SCHEDULED})
"""The statuses of an instance that can still be abandoned."""

OPEN = ACTIVE | {Status.UNSTARTED}
"""The statuses of an instance that is not over."""

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.UNSTARTED: frozenset({Status.SCHEDULED, Status.ABANDONED}),
    Status.SCHEDULED: frozenset({Status.RUNNING, Status.ABANDONED}),
    Status.RUNNING: frozenset({Status.FINISHED, Status.FAILED, Status.REPLAYED, Status.SKIPPED}),
    Status.FAILED: frozenset({Status.REPLAYED, Status.SKIPPED}),
    Status.FINISHED: frozenset(),
    Status.ABANDONED: frozenset(),
    Status.REPLAYED: frozenset(),
    Status.SKIPPED: frozenset(),
}


_MOMENTS: Mapping[Status, str] = {
    Status.SCHEDULED: "scheduled",
    Status.RUNNING: "started",
    Status.FINISHED: "ended",
    Status.FAILED: "ended",
    Status.ABANDONED: "ended",
    Status.REPLAYED: "ended",
    Status.SKIPPED: "ended",
}
"""What is noted of an instance when it first comes to such a status."""


@dataclass(frozen=True)
class TaskInstance:
    """One instance, as it stood when it was read. Times are seconds since the epoch, UTC.

    Attributes:
        session_uid: the session that it belongs to.
        task_name: the task, as the configuration names it.
        number: 0, 1, 2, … within the task and session; never used twice.
        config_digest: the configuration that it was made under, and lives by.
        status: where it stands.
        attempt: 1 for the first try; a retry's clone has one more.
        parent: the name of the instance that this one replays, or None.
        trigger_kwargs: trigger name → the kwargs that it took when that trigger fired; of a counted
            one, the latest.
        counts: counted trigger → how often it took it.
        waits_for: the awaited and ``unless`` triggers that it still takes: those that have not
            fired for it yet, and those that it counts; empty once it is no longer unstarted.
        not_before: no runner starts it before this time; 0 for at once.
        created_at: when it was made.
        changed_at: when its status last changed.
        recover_at: when it counts as lost unless something happens before: scheduled, because
            no worker claimed it; running, because its worker did not renew its lease. None in
            every other status.
        reruns_left: how often it may be started again if its worker is lost; set by the claim.
        metadata: what happened to it: ``result``, ``error`` (type, message, traceback),
            ``followed``, the ``trigger`` of its failure and which instances ``took`` it,
            ``logs`` and ``logs_resolved``; ``reason`` and ``by``, why and by whom it was last
            mended (replayed, skipped, abandoned, marked as resolved), where somebody said so;
            and ``times``, which the properties below read.
    """

    session_uid: str
    task_name: str
    number: int
    config_digest: str
    status: Status
    created_at: float
    changed_at: float
    attempt: int = 1
    parent: str | None = None
    trigger_kwargs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    waits_for: frozenset[str] = frozenset()
    not_before: float = 0.0
    recover_at: float | None = None
    reruns_left: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``task#number``, unique in the session."""
        return f"{self.task_name}#{self.number}"

    @property
    def scheduled_at(self) -> float | None:
        """When all that it waited for was there; None before, and where that was not noted."""
        return self._noted("scheduled")

    @property
    def started_at(self) -> float | None:
        """When a worker claimed it; None before."""
        return self._noted("started")

    @property
    def ended_at(self) -> float | None:
        """When it was over: not when a person dealt with its failure later. None before."""
        return self._noted("ended")

    @property
    def is_resolved(self) -> bool:
        """False while an error or a logged warning still asks for a person's attention.

        One that was replayed is resolved by its clone, and one skipped by whoever skipped it.
        """
        if self.metadata.get("logs_resolved") or self.status in _DEALT_WITH:
            return True
        return self.status is not Status.FAILED and not self.metadata.get("logs")

    def to(self, status: Status, *, at: float, **changes: Any) -> TaskInstance:
        """Return this instance in another status.

        Raises:
            InvalidTransition: :data:`TRANSITIONS` has no such step.
        """
        allowed = TRANSITIONS[self.status]
        if status not in allowed:
            steps = " or ".join(sorted(allowed)) or "nothing: that is final"
            raise InvalidTransition(
                f"instance {self.name} of session {self.session_uid!r} is {self.status} and "
                f"cannot become {status}; from {self.status} it can become {steps}"
            )
        return self.changed(
            status=status,
            changed_at=at,
            waits_for=frozenset(),
            recover_at=changes.pop("recover_at", None),
            metadata=noted(self.metadata, status, at),
            **changes,
        )

    def _noted(self, moment: str) -> float | None:
        found: float | None = self.metadata.get("times", {}).get(moment)
        return found

    def with_metadata(self, **entries: Any) -> TaskInstance:
        """Return this instance with entries added to its metadata."""
        return self.changed(metadata={**self.metadata, **entries})

    def with_remark(self, remark: Mapping[str, str]) -> TaskInstance:
        """Return this instance with a person's ``reason`` and ``by``, in place of earlier ones.

        Args:
            remark: those that were given, as :func:`triggers_core.rules.remarks.remark` has them.
        """
        others = {key: value for key, value in self.metadata.items() if key not in {REASON, BY}}
        return self.changed(metadata={**others, **remark})

    def changed(self, **changes: Any) -> TaskInstance:
        """Return this instance with other values of these attributes.

        As ``dataclasses.replace``, at a fifth of its cost: a fire does this up to three times.
        """
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, **changes)
        return copied


def noted(metadata: Mapping[str, Any], status: Status, at: float) -> Mapping[str, Any]:
    """Return the metadata of an instance that comes to the status now. The first time counts."""
    times = metadata.get("times", {})
    moment = _MOMENTS[status]
    return metadata if moment in times else {**metadata, "times": {**times, moment: at}}


def counted(statuses: Iterable[Status]) -> str:
    """Return how many of each there are: "2 finished, 1 failed"; "" for none."""
    counts = Counter(statuses)
    return ", ".join(f"{counts[status]} {status}" for status in Status if status in counts)


def split_instance_name(name: str) -> tuple[str, int]:
    """Return (task name, number) of ``task#number``.

    Raises:
        InstanceNotFound: the name does not have that form.
    """
    found = _INSTANCE_NAME.fullmatch(name) if isinstance(name, str) else None
    task_name, number = found.groups() if found else ("", "")
    try:
        return check_name(task_name, "task"), int(number)
    except InvalidName:
        raise InstanceNotFound(
            f"{shown(name)} is no instance name; one looks like 't_task#0'"
        ) from None
