"""A retry is not started before its time, and waits without a worker where that is offered."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

from triggers_conformance.bench import Bench, Session
from triggers_conformance.rules import broken, rule
from triggers_conformance.runner.steps import each_go, held_instances
from triggers_conformance.waiting import wait_until
from triggers_core import Status

WAITING = 40
COOLDOWN = 0.5
HOUR = 3600.0
LONG_COOLDOWNS = (4.0, 8.0)
"""Seconds. A machine too busy for the first is given the second."""


class Cooldown:
    """Checks R16, R59, C5."""

    @rule(
        "R16",
        mend="start no instance before its not_before; triggers_core.execute waits for it too",
    )
    def test_r16_a_cooldown_is_waited_for(self, triggers_bench: Bench) -> None:
        """A retry starts no sooner than its cooldown after the attempt before."""
        session = triggers_bench.session({"t": {"after": ["go"], "run": "retry_once"}})
        session.fire("go", cooldown=COOLDOWN)
        clone = session.settle(triggers_bench.timeout + COOLDOWN)["t#1"]
        started = session.notes()[-1].at
        if started < clone.not_before:
            broken(f"ran a retry {clone.not_before - started:.3f} s before its cooldown was over")

    @rule("R59", mend="wait for not_before - manager.storage.now(), by no clock of your own")
    def test_r59_the_storages_clock_is_the_clock(self, triggers_bench: Bench) -> None:
        """How long a cooldown still is, the storage's clock says, whatever this machine's says."""
        session = triggers_bench.session(each_go("note"))
        (instance,) = held_instances(session, "go", 1)
        now = triggers_bench.storage.now
        with mock.patch.object(triggers_bench.storage, "now", side_effect=lambda: now() + HOUR):
            session.dispatch(replace(instance, not_before=now() + HOUR))
            session.settle_finished()

    @rule("C5", needs="cooldown", mend="use the engine's own delay; do not sleep in a worker")
    def test_c5_a_cooldown_keeps_no_worker_busy(self, triggers_bench: Bench) -> None:
        """While instances wait for their cooldown, other work runs."""
        for cooldown in LONG_COOLDOWNS:
            session = triggers_bench.session(
                {**each_go("retry_once"), "quick": {"after": ["then"], "run": "note"}}
            )
            for _ in range(WAITING):
                session.fire("go", cooldown=cooldown)
            patience = triggers_bench.timeout + cooldown
            _wait_for_clones(session, WAITING, patience)
            session.fire("then")
            instances = session.settle(patience)
            due = min(i.not_before for i in instances.values() if i.not_before)
            if instances["quick#0"].changed_at < due:
                return
        broken(f"ran other work only after the cooldown of {WAITING} waiting instances")


def _wait_for_clones(session: Session, count: int, patience: float) -> None:
    """Wait until all first attempts have asked for their retry."""
    first = session.manager.instances
    if not wait_until(lambda: len(first(statuses={Status.REPLAYED})) >= count, patience):
        broken(
            f"did not run {count} first attempts within {patience:g} s, while some of them "
            "waited for their cooldown already"
        )
