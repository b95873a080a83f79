"""What several checks of runners do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from triggers_conformance.bench import Bench, Session
from triggers_conformance.rules import broken, not_checked, not_offered
from triggers_conformance.waiting import wait_until
from triggers_core import TaskInstance, TriggersError

BUSY = 64
"""More than the workers that engines have by default: 32 or the processors and 4 for threads of
the standard library, 40 for those of AnyIO."""
FIRES_PER_THREAD = 10
NEXT_SECONDS = 0.05
"""Within which the next worker takes a task, while there are more."""
FILL_SECONDS = 60.0
"""Within which a check must have dispatched what it does; only a machine that hangs needs it."""


class Gate:
    """Keeps a task running until the body is left, or ``extra`` seconds longer than the timeout:
    unless given, as long again, so that whoever waits for the task gives up first."""

    def __init__(self, bench: Bench, session: Session, extra: float | None = None) -> None:
        self._path = session.folder / "gate"
        timeout = bench.timeout + (bench.timeout if extra is None else extra)
        self.kwargs = {"gate": str(self._path), "timeout": timeout}

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *exception: object) -> None:
        self._path.touch()


@contextmanager
def workers_busy(bench: Bench, count: int = BUSY) -> Iterator[Session]:
    """Keep every worker busy until the body is left, so that what comes meanwhile waits."""
    check_not_inline(bench, "nothing waits")
    busy = bench.session(
        {f"t{number}": {"after": ["go"], "run": "wait_for_gate"} for number in range(count)}
    )
    with Gate(bench, busy, FILL_SECONDS) as gate:
        busy.fire("go", **gate.kwargs)
        _wait_for_all_workers(busy)
        yield busy
    busy.settle_finished()


def _wait_for_all_workers(busy: Session) -> None:
    """Wait until no further worker takes a task."""
    busy.wait_for_note("started")
    count = 0
    while (latest := len(busy.notes("started"))) > count:
        count = latest
        wait_until(partial(_has_more, busy, count), NEXT_SECONDS)


def _has_more(busy: Session, count: int) -> bool:
    return len(busy.notes("started")) > count


def another_runner(bench: Bench) -> Any:
    """Return a runner that may be closed; the one of the bench is needed further on."""
    try:
        found = bench.conformance.make_plugins().runner(bench.runner_name)
    except TriggersError as error:
        broken(f"cannot be had: {error}")
    if found is not bench.runner:
        return found
    if "remote" in bench.capabilities:
        not_checked("make_plugins() gives the same runner again, and closed it would be missed")
    return bench.runner_class()


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


def check_not_inline(bench: Bench, because: str) -> None:
    if "inline" in bench.capabilities:
        not_offered(f"the runner declares 'inline': {because}")


def check_has_close(bench: Bench) -> None:
    if not callable(getattr(bench.runner_class, "close", None)):
        not_offered("the runner has no close()")


def is_named(instance_name: str, text: str) -> bool:
    """Return whether the instance is named in the text, and not one whose number begins alike."""
    return re.search(rf"{instance_name}(?!\d)", text) is not None
