"""``close`` ends one runner: nothing that it has accepted is lost, and no other runner ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from triggers_conformance.bench import Bench, Session
from triggers_conformance.rules import broken, not_offered, rule
from triggers_conformance.runner.steps import (
    BUSY,
    FILL_SECONDS,
    Gate,
    another_runner,
    check_has_close,
    each_go,
    held_instances,
    is_named,
    listed,
)
from triggers_conformance.waiting import wait_until


class Closing:
    """Checks R57, R58."""

    @rule(
        "R57",
        mend="in close(), let the queue be finished; log by name what is left; or declare "
        "'volatile'",
    )
    def test_r57_close_finishes_or_names_what_is_left(self, triggers_bench: Bench) -> None:
        """What was accepted before ``close()`` is finished, or named in the log."""
        check_has_close(triggers_bench)
        for capability in {"volatile", "inline", "remote"} & triggers_bench.capabilities:
            not_offered(f"the runner declares {capability!r}")
        runner = another_runner(triggers_bench)
        session = triggers_bench.session(each_go("wait_for_gate"))
        closing = threading.Thread(target=runner.close, name="close", daemon=True)
        with _log() as lines:
            with Gate(triggers_bench, session, FILL_SECONDS) as gate:
                for instance in held_instances(session, "go", BUSY, **gate.kwargs):
                    runner.run(manager=session.manager, task_instance=instance)
                closing.start()
                closing.join(0.1)  # one that drops its queue has done so, or is caught less often
            closing.join(triggers_bench.timeout)
            if closing.is_alive():
                broken(f"did not return from close() within {triggers_bench.timeout:g} s")
            wait_until(lambda: not _lost(session), triggers_bench.timeout)
        unsaid = [name for name in _lost(session) if not is_named(name, "\n".join(lines))]
        if unsaid:
            broken(
                f"dropped {len(_lost(session))} of {BUSY} instances at close(), and did not name "
                f"{listed(unsaid[:5])} in the log"
            )

    @rule("R58", mend="keep queue and threads on the object, or count who still uses them")
    def test_r58_close_ends_one_runner_only(self, triggers_bench: Bench) -> None:
        """``close()`` ends no other runner of the class: neither an older nor a newer one."""
        check_has_close(triggers_bench)
        session = triggers_bench.session(each_go("note"))
        session.fire("go")
        session.settle_finished()
        runner = another_runner(triggers_bench)
        (instance,) = held_instances(session, "go", 1)
        runner.run(manager=session.manager, task_instance=instance)
        session.settle_finished()
        triggers_bench.in_time(runner.close, "close()")
        session.fire("go")
        session.settle_finished()


def _lost(session: Session) -> list[str]:
    ended = {note.instance_name for note in session.notes("ended")}
    return [f"t#{number}" for number in range(BUSY) if f"t#{number}" not in ended]


@contextmanager
def _log() -> Iterator[list[str]]:
    """Yield the list of all messages that are logged in the body."""
    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Keeping()
    logging.getLogger().addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(handler)
