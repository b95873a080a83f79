"""More work than there are workers: it waits, it is not lost, and nobody else waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from triggers_conformance.bench import Bench, Session
from triggers_conformance.rules import broken, not_checked, not_offered, rule
from triggers_conformance.runner.steps import BUSY, FILL_SECONDS, Gate, check_not_inline, each_go
from triggers_conformance.waiting import DeadlinePassed, call_within, wait_until
from triggers_core import TaskInstance

SAMPLE = 20
WAITING = 2100
"""What waits before the last: more than the usual bounds of queues, 1000, 1024 and 2048."""
LAST = 20
LOOK_SECONDS = 0.5
MOST_SECONDS = 10.0
"""An engine that would take longer for all of it is not asked to."""


class Load:
    """Checks R35, R39."""

    @rule("R35", mend="queue what no worker is free for; never run a task in run() itself")
    def test_r35_run_returns_while_all_workers_are_busy(self, triggers_bench: Bench) -> None:
        """``run`` returns before the task ends while every worker is busy, too."""
        check_not_inline(triggers_bench, "nothing waits")
        session = triggers_bench.session(_busy())
        with Gate(triggers_bench, session) as gate:
            session.fire("go", **gate.kwargs)
            if session.notes("ended"):
                broken("returned from run() only after a task had ended")
        session.settle_finished()

    @rule("R39", mend="queue without a bound, or raise when the queue is full")
    def test_r39_nothing_is_dropped_when_much_waits(self, triggers_bench: Bench) -> None:
        """However much waits already, what ``run`` accepts is executed."""
        check_not_inline(triggers_bench, "nothing waits")
        ended = triggers_bench.session(each_go("note"))
        ended.fire("go")
        (duplicate,) = ended.settle_finished().values()
        seconds = _seconds_for_all(triggers_bench, ended, duplicate)
        patience = triggers_bench.timeout + 2 * seconds
        busy = triggers_bench.session(_busy())
        last = triggers_bench.session(
            {f"t{n}": {"after": ["go"], "run": "note"} for n in range(LAST)}
        )
        with Gate(triggers_bench, busy) as gate:
            busy.fire("go", **{**gate.kwargs, "timeout": FILL_SECONDS + patience})
            if wait_until(lambda: len(busy.notes("started")) >= BUSY, LOOK_SECONDS):
                not_offered(f"it has a worker for each of {BUSY} tasks, and so no queue to fill")
            # What has ended costs least: a worker only finds that there is nothing to do.
            is_refused = _refuses(
                lambda: _dispatch_often(triggers_bench, ended, duplicate, WAITING),
                patience,
            ) or _refuses(lambda: last.fire_unwatched("go"), triggers_bench.timeout)
        busy.settle_finished(patience)
        if not is_refused:
            last.settle_finished(patience)


def _busy() -> dict[str, dict[str, object]]:
    return {f"t{number}": {"after": ["go"], "run": "wait_for_gate"} for number in range(BUSY)}


def _seconds_for_all(bench: Bench, ended: Session, duplicate: TaskInstance) -> float:
    """Return about how long the engine takes for all that is to wait."""
    begin = time.monotonic()
    bench.in_time(lambda: _dispatch_often(bench, ended, duplicate, SAMPLE), "run(…)")
    ended.fire("go")
    ended.settle_finished()
    seconds = (time.monotonic() - begin) * WAITING / SAMPLE
    if seconds > MOST_SECONDS:
        not_checked(f"{WAITING} instances would take it about {seconds:.0f} s")
    return seconds


def _dispatch_often(bench: Bench, session: Session, instance: TaskInstance, times: int) -> None:
    for _ in range(times):
        bench.runner.run(manager=session.manager, task_instance=instance)


def _refuses(dispatch: Callable[[], None], timeout: float) -> bool:
    """Return whether the runner says that it does not take all of it."""
    try:
        call_within(timeout, dispatch)
    except DeadlinePassed:
        broken(f"did not return from run() within {timeout:g} s while its workers were busy")
    except Exception:
        return True
    return False
