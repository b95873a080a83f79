"""Protections that can be taken out, to see that the campaign finds what is wrong without them.

The product has no switch for any of this: each is replaced from here, in the campaign's processes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from triggers_core import Status, recovery
from triggers_core.engine import change as changes
from triggers_core.engine import effects
from triggers_core.storage.sqlite.session import SqliteWork
from triggers_core.worker import execution, lease


@dataclass(frozen=True)
class Protection:
    """Something that keeps work from being lost or doubled.

    Attributes:
        what: what is not done once it is taken out.
        take_out: does so, in this process.
    """

    what: str
    take_out: Callable[[], None]


def no_recovery_of(status: Status) -> None:
    take_over = recovery.take_over

    def take_over_others(manager: Any, lost: Any) -> Any:
        return None if lost.status is status else take_over(manager, lost)

    for module in (recovery, sys.modules.get("triggers_celery.receiving")):
        if module is not None:
            module.take_over = take_over_others  # type: ignore[attr-defined]


def any_message_is_run() -> None:
    claim = execution._claim

    def claim_whatever_it_is(manager: Any, dispatched: Any, task: Any) -> Any:
        claimed = claim(manager, dispatched, task)
        if claimed is not None:
            return claimed
        running = replace(manager.instance(dispatched.name), status=Status.RUNNING)
        received = manager.task_config(running).received(running.trigger_kwargs)
        return execution.TaskContext(manager, running, received)

    execution._claim = claim_whatever_it_is


def every_end_is_recorded() -> None:
    def end_whatever_it_is(context: Any, end: Any) -> Any:
        return changes.change(context.manager, lambda work: end(work, context.instance))

    execution._end = end_whatever_it_is


def end_and_cascade_apart() -> None:
    def finish(context: Any, text: str) -> Any:
        result = json.loads(text)

        def end(work: Any, instance: Any) -> Any:
            return work.change_to(instance.with_metadata(result=result), Status.FINISHED)

        finished = execution._end(context, end)
        if finished is not None:
            changes.change(
                context.manager, lambda work: effects.fire(work, finished.task_name, result)
            )
        return finished

    execution._finish = finish


def event_ids_ignored() -> None:
    effects._fire_once = lambda work, trigger_name, kwargs, _: effects.fire(
        work, trigger_name, kwargs
    )


def leases_not_renewed() -> None:
    lease._renew = lambda _: None


def each_row_committed() -> None:
    _commit_each_row(SqliteWork)
    from triggers_postgres.server import Connection  # noqa: PLC0415 - needs its driver
    from triggers_postgres.session import PostgresWork  # noqa: PLC0415 - needs its driver

    _commit_each_row(PostgresWork, send=Connection.send)


def _commit_each_row(work: Any, send: Callable[[Any], None] = lambda _: None) -> None:
    save = work.save

    def save_and_commit(self: Any, instance: Any) -> None:
        save(self, instance)
        send(self._connection)
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN")

    work.save = save_and_commit


def each_machine_has_its_clock() -> None:
    from triggers_postgres import PostgresStorage  # noqa: PLC0415 - needs its driver

    PostgresStorage.now = lambda _: time.time()


def unanswered_commits_count_as_failed() -> None:
    from triggers_postgres import PostgresStorage  # noqa: PLC0415 - needs its driver

    def give_up(_: Any, __: str, lost: Exception) -> NoReturn:
        raise lost

    PostgresStorage._find_out = give_up


def changes_tried_once() -> None:
    changes.RETRY_PAUSES_SECONDS = ()


PROTECTIONS = {
    "recovery of messages": Protection(
        "what is scheduled and claimed by nobody is not dispatched again",
        lambda: no_recovery_of(Status.SCHEDULED),
    ),
    "recovery of workers": Protection(
        "what runs and whose lease ran out is not taken over",
        lambda: no_recovery_of(Status.RUNNING),
    ),
    "claim": Protection(
        "a message runs its instance, whatever its status and attempt", any_message_is_run
    ),
    "end": Protection(
        "an execution records its end, whoever the instance belongs to by now",
        every_end_is_recorded,
    ),
    "one transaction": Protection(
        "an end and its cascade are two transactions", end_and_cascade_apart
    ),
    "atomic transactions": Protection("each row is committed by itself", each_row_committed),
    "event ids": Protection("a trigger fired again counts again", event_ids_ignored),
    "renewal": Protection("a lease is not renewed while its task runs", leases_not_renewed),
    "server's clock": Protection("each machine goes by its own clock", each_machine_has_its_clock),
    "another try": Protection("a change that was undone is not made again", changes_tried_once),
    "outcome of commits": Protection(
        "a commit that was not answered counts as not made", unanswered_commits_count_as_failed
    ),
}
