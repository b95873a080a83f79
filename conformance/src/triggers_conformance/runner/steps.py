"""What several checks of runners do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from triggers_conformance.bench import Bench, Session
from triggers_conformance.rules import broken
from triggers_core import TaskInstance

FIRES_PER_THREAD = 10


class Gate:
    """Keeps a task running until the body is left."""

    def __init__(self, bench: Bench, session: Session) -> None:
        self._path = session.folder / "gate"
        self.kwargs = {"gate": str(self._path), "timeout": bench.timeout}

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *exception: object) -> None:
        self._path.touch()


def each_go(run: str) -> dict[str, dict[str, Any]]:
    return {"t": {"after": ["go"], "andEvery": "go", "run": run}}


def held_instances(
    session: Session, trigger_name: str, count: int, **kwargs: Any
) -> list[TaskInstance]:
    """Return instances that are scheduled, and that the runner has not heard of."""
    with session.held() as instances:
        for _ in range(count):
            session.fire(trigger_name, **kwargs)
        return instances


def check_each_ran_once(bench: Bench, session: Session, count: int) -> None:
    instances = session.settle_finished()
    bench.flush()
    if len(session.settle()) != count:
        broken(f"left {len(session.settle())} instances, where {count} are due")
    check_runs(session, instances)


def check_runs(session: Session, names: Iterable[str]) -> None:
    """Broken, unless the task of each of these instances has run once."""
    runs = Counter(note.instance_name for note in session.notes() if note.step != "ended")
    wrong = {name: runs[name] for name in names if runs[name] != 1}
    if wrong:
        broken("ran " + ", ".join(f"{name} {times} times" for name, times in wrong.items()))


def listed(names: Any) -> str:
    if isinstance(names, Mapping):
        return ", ".join(f"{name} {status}" for name, status in sorted(names.items()))
    return ", ".join(sorted(names))
