"""The rules of a session in plain lists: what any runner must bring about, in some order.

No storage, no threads, no framework: written from the rules alone, to be compared with it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUTSIDE = ("x", "y", "z")
"""The triggers that are fired from outside; the others are the tasks' cascades."""
MAX_RETRIES = 1
"""Of the task that random sessions run."""

Ending = tuple[str, str, int, tuple[tuple[str, str], ...]]
"""(task, status, attempt, (trigger, value) of each trigger that it took; then, of each from outside
that it counted, ("trigger ×", how often))."""


@dataclass
class Row:
    """One instance."""

    task: str
    directives: Mapping[str, Any]
    taken: dict[str, str]
    counted: dict[str, int]
    status: str = "unstarted"
    attempt: int = 1


class Model:
    """One session.

    Args:
        tasks: name → directives, each with ``way``: how the task ends.
    """

    def __init__(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        self._tasks = tasks
        self._latest: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._seen: Counter[str] = Counter()
        self._unseen: set[str] = set()
        self._ready: deque[Row] = deque()
        self.rows: list[Row] = []

    def fire(self, trigger: str, value: str, number: int) -> None:
        """Fire, and run everything that comes of it.

        Args:
            value: tells this firing from every other.
            number: what it says to a task that counts by it.
        """
        self._numbers[value] = number
        self._apply(trigger, value)
        self._run_all()

    def reconfigure(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """Put these tasks in the place of all: what waits is taken over, and abandoned where it has
        no task any more. Run what comes of it."""
        before, self._tasks = self._tasks, tasks
        # What nobody counted counts once, from when somebody does.
        for trigger in (_all_counted(tasks) - _all_counted(before)) & self._unseen:
            self._seen[trigger] += 1
            self._unseen.discard(trigger)
        for row in self._with_status("unstarted"):
            task = tasks.get(row.task)
            if task is None:
                row.status = "abandoned"
            elif task != row.directives:
                row.directives = task
                counted = self._earlier_counted(task)
                row.taken = {**self._earlier(task), **row.taken}
                row.taken.update({t: self._latest[t] for t in counted})
                row.counted |= counted
                self._decide(row)
        self._run_all()

    def says_how_often(self, trigger: str) -> bool:
        """Return whether a task counts by what the trigger says."""
        return any(trigger in _numbered(task) for task in self._tasks.values())

    def abandon_what_waits(self) -> None:
        """Abandon by hand every instance that waits now."""
        for row in self._with_status("unstarted"):
            row.status = "abandoned"

    def replay_failures(self) -> None:
        """Replay by hand every instance that is failed now, and run what comes of it."""
        for row in self._with_status("failed"):
            self._replay(row, attempt=1, directives=self._tasks.get(row.task, row.directives))
        self._run_all()

    def skip_failures(self) -> None:
        """Skip by hand, with a cascade, every instance that is failed now."""
        for row in self._with_status("failed"):
            row.status = "skipped"
            self._apply(row.task, "by hand")
            self._run_all()

    def endings(self) -> Counter[Ending]:
        """Return how the instances ended, and how many of each."""
        return Counter(
            (
                row.task,
                row.status,
                row.attempt,
                (*sorted(row.taken.items()), *told_counts(row.counted)),
            )
            for row in self.rows
        )

    def _apply(self, trigger: str, value: str) -> None:
        if trigger in _all_counted(self._tasks):
            self._seen[trigger] += 1
            self._unseen.discard(trigger)
        else:
            self._unseen.add(trigger)
        for name, task in self._tasks.items():
            if trigger not in _triggers(task):
                continue
            is_counted = trigger in _counted(task)
            waiting = [
                row for row in self._unstarted(name) if is_counted or trigger not in row.taken
            ]
            exists = any(row.task == name for row in self.rows)
            if not waiting and (not exists or trigger == task.get("andEvery")):
                row = Row(name, task, self._earlier(task), self._earlier_counted(task))
                self.rows.append(row)
                waiting = [row]
            elif is_counted:
                for row in waiting:
                    row.counted[trigger] = row.counted.get(trigger, 0) + 1
            for row in waiting:
                row.taken[trigger] = value
                self._decide(row)
        self._latest[trigger] = value

    def _earlier(self, task: Mapping[str, Any]) -> dict[str, str]:
        return {t: v for t, v in self._latest.items() if t in _triggers(task)}

    def _earlier_counted(self, task: Mapping[str, Any]) -> dict[str, int]:
        return {t: self._seen[t] for t in _counted(task) if self._seen[t]}

    def _decide(self, row: Row) -> None:
        task = row.directives
        if task.get("unless") and all(self._holds(entry, row) for entry in task["unless"]):
            row.status = "abandoned"
        elif _every(task) <= row.taken.keys() and all(
            self._holds(entry, row) for entry in task["after"]
        ):
            row.status = "scheduled"
            self._ready.append(row)

    def _holds(self, entry: Any, row: Row) -> bool:
        if isinstance(entry, str):
            return entry in row.taken
        if "any" in entry:
            return any(self._holds(each, row) for each in entry["any"])
        if "all" in entry:
            return all(self._holds(each, row) for each in entry["all"])
        if "atLeast" in entry:
            needed: int = entry["atLeast"]
            return sum(self._holds(each, row) for each in entry["of"]) >= needed
        times = entry["times"]
        if isinstance(times, Mapping):
            if times["from"] not in row.taken:
                return False
            times = self._numbers[row.taken[times["from"]]]
        return bool(row.counted.get(entry["each"], 0) >= times)

    def _run_all(self) -> None:
        while self._ready:
            self._run(self._ready.popleft())

    def _run(self, row: Row) -> None:
        way = row.directives["way"]
        if way == "fail" or (way == "always retry" and row.attempt > MAX_RETRIES):
            row.status = "failed"
        elif way == "always retry" or (way == "retry once" and row.attempt == 1):
            self._replay(row, attempt=row.attempt + 1, directives=row.directives)
        elif way == "skip":
            row.status = "skipped"
        else:
            row.status = "skipped" if way == "skip and cascade" else "finished"
            self._apply(row.task, row.task)

    def _replay(self, row: Row, attempt: int, directives: Mapping[str, Any]) -> None:
        row.status = "replayed"
        taken, counted = dict(row.taken), dict(row.counted)
        clone = Row(row.task, directives, taken, counted, "scheduled", attempt)
        self.rows.append(clone)
        self._ready.append(clone)

    def _with_status(self, status: str) -> list[Row]:
        return [row for row in self.rows if row.status == status]

    def _unstarted(self, name: str) -> list[Row]:
        return [row for row in self.rows if row.task == name and row.status == "unstarted"]


def told_counts(counted: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return what an ending tells of counts. Not those of cascades: of several at the same time,
    chance says how many come before that which makes the instance ready."""
    return [
        (f"{trigger} ×", str(count))
        for trigger, count in sorted(counted.items())
        if trigger in OUTSIDE
    ]


def _every(task: Mapping[str, Any]) -> set[str]:
    every = task.get("andEvery")
    return {every} if every else set()


def _triggers(task: Mapping[str, Any]) -> set[str]:
    named = {entry for entry in _entries(task) if isinstance(entry, str)}
    return _every(task) | named | _counted(task) | _numbered(task)


def _counted(task: Mapping[str, Any]) -> set[str]:
    entries = (entry for entry in _entries(task) if not isinstance(entry, str))
    return {entry["each"] for entry in entries if "each" in entry}


def _all_counted(tasks: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {name for task in tasks.values() for name in _counted(task)}


def _numbered(task: Mapping[str, Any]) -> set[str]:
    """Return the triggers that say how often."""
    sources = (entry.get("times") for entry in _entries(task) if not isinstance(entry, str))
    return {times["from"] for times in sources if isinstance(times, Mapping)}


def _entries(task: Mapping[str, Any]) -> list[Any]:
    """Return the entries of a task, those within others too."""
    found = [*task["after"], *task.get("unless", ())]
    for entry in found:
        if not isinstance(entry, str):
            found += [*entry.get("any", ()), *entry.get("all", ()), *entry.get("of", ())]
    return found
