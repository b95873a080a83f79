"""What must hold when all is healed.

Every join that should have happened has, every cascade happened once, no session is stuck, no
instance ran twice under one claim, whatever ran again stands in for one whose process was killed
or frozen or kept from recording while it ran, and no error said what is not so.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import kinds
from rounds import Round
from settings import Settings

from triggers_core import Status, Storage, TaskInstance

FEEDS = ("feed 1", "feed 2")
SESSIONS_IN_A_WAVE = 6
WANTED = {
    "t_join": 1,
    "t_next": 1,
    "t_each": 3,
    "t_last": 3,
    "t_counted": 1,
    "t_fails": 1,
    "t_amends": 1,
}
"""Instances of a session, but for those that stand in for a lost one."""
COUNTED = "t_each"
"""The task whose ends another counts: each is one of the firings that the session has seen."""
FAILS = "t_fails"
"""The task that fails for good, after which another makes amends."""
NOTING_SECONDS = 1.0
"""By how much the note that a process is gone may be earlier than its end."""
WORKER = "worker"


def session_uid(feed: str, wave: int, number: int) -> str:
    """Return what a feed calls a session."""
    return f"{feed}, wave {wave}, session {number}"


def sessions(storage: Storage) -> dict[str, tuple[list[TaskInstance], int]]:
    """Return the instances of every session, and how many ends of the counted task it has seen."""
    found = {}
    for uid, _ in storage.sessions():
        with storage.read(uid) as reader:
            found[uid] = reader.instances(), reader.firing_count(COUNTED)
    return found


def look(settings: Settings, storage: Storage, this: Round) -> None:
    """Count what ran, and list what is wrong."""
    found = sessions(storage)
    ran = collections.Counter(map(_key, settings.journal("ran")))
    this.executions = sum(ran.values())
    this.reruns = sum(bool(each.parent) for instances, _ in found.values() for each in instances)
    expected = [
        session_uid(feed, wave, number)
        for feed in FEEDS
        for wave in range(settings.progress(feed)[0] + 1)
        for number in range(SESSIONS_IN_A_WAVE)
    ]
    this.sessions = len(expected)
    explanations = Explanations(settings, this.fault)
    for uid in expected:
        instances, counted = found.get(uid, ([], 0))
        this.problems += _look_at_session(uid, instances, ran, explanations)
        if counted != WANTED[COUNTED]:
            this.problems.append(f"{uid}: {counted} ends of {COUNTED} were counted")
    for lie in settings.journal("lied"):
        this.problems.append(f"it was made, though the error said: {lie['error']}")
    for ended in settings.journal("ended"):
        if ended["name"] == WORKER:  # Celery gives up where it cannot start a pool or reach Redis
            this.exits += 1
        else:
            this.problems.append(f"{ended['name']} ended by itself, with {ended['code']}")


def _look_at_session(
    uid: str,
    instances: list[TaskInstance],
    ran: collections.Counter[tuple[str, str]],
    explanations: Explanations,
) -> Iterator[str]:
    by_name = {instance.name: instance for instance in instances}
    for task_name, wanted in WANTED.items():
        of_task = [instance for instance in instances if instance.task_name == task_name]
        made = sum(instance.parent is None for instance in of_task)
        end = Status.FAILED if task_name == FAILS else Status.FINISHED
        finished = sum(instance.status is end for instance in of_task)
        if (made, finished) != (wanted, wanted):
            statuses = {instance.name: str(instance.status) for instance in of_task}
            yield (
                f"{uid}: {made} of {task_name} made and {finished} {end}, and {wanted} of "
                f"both wanted: {statuses}"
            )
    for instance in instances:
        times = ran[uid, instance.name]
        if times > 1:
            yield f"{uid}: {instance.name} ran {times} times under one claim"
        if instance.status is Status.FINISHED and not times:
            yield f"{uid}: {instance.name} finished without having run"
        if instance.parent and not explanations.explain(by_name[instance.parent]):
            yield f"{uid}: {instance.name} runs {instance.parent} again for no reason"


class Explanations:
    """Tells whether an instance had to be run again: a fault struck while it ran.

    It ran from its claim until it was given up for lost, which is its last change.
    """

    def __init__(self, settings: Settings, fault: str) -> None:
        self._claims = {_key(noted): noted for noted in settings.journal("claimed")}
        self._gone = settings.journal("gone")
        self._cuts = (
            [*self._gone, *settings.journal("struck")] if fault in kinds.CUTS_A_RECORD else []
        )

    def explain(self, lost: TaskInstance) -> bool:
        if lost.metadata.get("error", {}).get("type") != "WorkerLost":
            return False
        claim = self._claims.get((lost.session_uid, lost.name))
        if claim is None:  # its process was gone before it had noted the claim
            began, gone = lost.created_at, self._gone
        else:
            began, processes = claim["began"], {claim["pid"], claim["group"]}
            gone = [noted for noted in self._gone if noted["gone"] in processes]
        return any(
            began - NOTING_SECONDS < noted["at"] < lost.changed_at for noted in [*gone, *self._cuts]
        )


def _key(noted: dict[str, Any]) -> tuple[str, str]:
    return noted["session"], noted["instance"]
