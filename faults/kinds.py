"""The kinds of faults, and where each can strike."""

from __future__ import annotations

STORAGES = ("sqlite", "postgresql")
RUNNERS = ("threading", "celery-redis", "celery-rabbitmq")

BEFORE_DISPATCH = "kill -9 after commit, before dispatch"
BEFORE_RUN = "kill -9 after claim, before run"
BEFORE_FINISH = "kill -9 after run, before finish"
IN_TRANSACTION = "kill -9 inside the transaction"
LOST = "message lost"
DOUBLED = "message doubled"
LATE = "message delayed and reordered"
CLOCKS = "clocks a minute apart"
AT_POINTS = (
    BEFORE_DISPATCH,
    BEFORE_RUN,
    BEFORE_FINISH,
    IN_TRANSACTION,
    LOST,
    DOUBLED,
    LATE,
    CLOCKS,
)
"""These strike inside a process, when it arrives at a point (:mod:`shop`)."""

KILLED = "kill -9 at a random moment"
FROZEN = "process frozen past its lease"
CUT = "broker connections cut"
REDIS_RESTARTED = "Redis restarted with its data"
REDIS_EMPTIED = "Redis restarted without its data"
TERMINATED = "database connections terminated"
UNANSWERED = "database connection cut in a commit"

PAUSES_SECONDS = {
    KILLED: (0.3, 1.0),
    FROZEN: (0.3, 1.0),
    CUT: (0.3, 1.5),
    REDIS_RESTARTED: (0.5, 2.0),
    REDIS_EMPTIED: (0.5, 2.0),
    TERMINATED: (0.1, 0.5),
    UNANSWERED: (0.05, 0.3),
}
"""These strike from outside, so many seconds after one another (:mod:`stage`)."""

KINDS = (*AT_POINTS, *PAUSES_SECONDS)

RESTARTS_REDIS = (REDIS_RESTARTED, REDIS_EMPTIED)
"""These need a ``redis-server`` of the round's own."""

CUTS_A_RECORD = (TERMINATED, UNANSWERED, FROZEN)
"""These may keep a worker that lives from recording a task's end: what is frozen in a transaction
locks the others out."""

SLOW = {FROZEN: 5}
"""By how much fewer of them there are in a round."""


def can_strike(fault: str, storage: str, runner: str) -> bool:
    """Return whether there is such a fault on this storage and runner."""
    if fault == CUT:
        return runner != "threading"
    if fault in RESTARTS_REDIS:
        return runner == "celery-redis"
    if fault in (TERMINATED, UNANSWERED, CLOCKS):
        return storage == "postgresql"
    return True
