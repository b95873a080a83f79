"""The rules of a session in plain lists: what any runner must bring about, in some order.

No storage, no threads, no framework: written from the rules alone, to be compared with it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_RETRIES = 1
"""Of the task that random sessions run."""

Ending = tuple[str, str, int, tuple[tuple[str, str], ...]]
"""(task, status, attempt, (trigger, value) of each trigger that it took)."""


@dataclass
class Row:
    """One instance."""

    task: str
    directives: Mapping[str, Any]
    taken: dict[str, str]
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
        self._ready: deque[Row] = deque()
        self.rows: list[Row] = []

    def fire(self, trigger: str, value: str) -> None:
        """Fire, and run everything that comes of it."""
        self._apply(trigger, value)
        self._run_all()

    def reconfigure(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """Put these tasks in the place of all: what waits is taken over, and abandoned where it has
        no task any more. Run what comes of it."""
        self._tasks = tasks
        for row in self._with_status("unstarted"):
            task = tasks.get(row.task)
            if task is None:
                row.status = "abandoned"
            elif task != row.directives:
                row.directives = task
                row.taken = {**self._earlier(task), **row.taken}
                self._decide(row)
        self._run_all()

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
            (row.task, row.status, row.attempt, tuple(sorted(row.taken.items())))
            for row in self.rows
        )

    def _apply(self, trigger: str, value: str) -> None:
        for name, task in self._tasks.items():
            if trigger not in _triggers(task):
                continue
            waiting = [row for row in self._unstarted(name) if trigger not in row.taken]
            exists = any(row.task == name for row in self.rows)
            if not waiting and (not exists or trigger == task.get("andEvery")):
                row = Row(name, task, self._earlier(task))
                self.rows.append(row)
                waiting = [row]
            for row in waiting:
                row.taken[trigger] = value
                self._decide(row)
        self._latest[trigger] = value

    def _earlier(self, task: Mapping[str, Any]) -> dict[str, str]:
        return {t: v for t, v in self._latest.items() if t in _triggers(task)}

    def _decide(self, row: Row) -> None:
        task = row.directives
        if task.get("unless") and set(task["unless"]) <= row.taken.keys():
            row.status = "abandoned"
        elif _awaited(task) <= row.taken.keys():
            row.status = "scheduled"
            self._ready.append(row)

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
        clone = Row(row.task, directives, dict(row.taken), "scheduled", attempt)
        self.rows.append(clone)
        self._ready.append(clone)

    def _with_status(self, status: str) -> list[Row]:
        return [row for row in self.rows if row.status == status]

    def _unstarted(self, name: str) -> list[Row]:
        return [row for row in self.rows if row.task == name and row.status == "unstarted"]


def _awaited(task: Mapping[str, Any]) -> set[str]:
    every = task.get("andEvery")
    return {*task["after"], *([every] if every else [])}


def _triggers(task: Mapping[str, Any]) -> set[str]:
    return _awaited(task) | set(task.get("unless", ()))
