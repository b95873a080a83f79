"""Everybody's turn comes: no work is kept back by other work, of whichever session."""

from __future__ import annotations

import uuid

from triggers_conformance.bench import Bench, Session
from triggers_conformance.rules import broken, rule
from triggers_conformance.runner.steps import check_each_ran_once, each_go, workers_busy

ROUNDS = 8
"""How often what is accepted anew may go before what waits; none of it has to."""
TURN_SECONDS = (0.05, 0.2, 1.0)
"""How long each round but the first takes while others wait. A machine too busy for the first is
given the next."""
LATER_SESSIONS = 8
LATER_TASKS = 8
"""In each of those sessions: as many tasks in all as keep every worker busy."""
MANY_SESSIONS = 130
"""More than 128, as caches and pools of lanes are bounded by."""


class Turns:
    """Checks R46, R47."""

    @rule("R46", mend="take from your queue in the order of run(), whatever session it is of")
    def test_r46_what_comes_first_has_its_turn(self, triggers_bench: Bench) -> None:
        """What was accepted is not kept back for ever by what is accepted after it."""
        if all(_keeps_back(triggers_bench, seconds) for seconds in TURN_SECONDS):
            broken(
                f"ran what started itself {ROUNDS} times over, while an instance waited that it "
                "had accepted before that"
            )

    @rule("R47", mend="know work by all of its Reference: storage, session, instance, attempt")
    def test_r47_many_sessions_wait_at_once(self, triggers_bench: Bench) -> None:
        """However many sessions wait, with instances of one name, each has its own executed."""
        sessions = [triggers_bench.session(each_go("note")) for _ in range(MANY_SESSIONS)]
        if "remote" not in triggers_bench.capabilities:  # whose workers know one storage
            sessions.append(_namesake(triggers_bench, sessions[0]))
        with workers_busy(triggers_bench):
            for session in sessions:
                session.fire("go")
        for session in sessions:
            session.settle_finished()
            if len(session.notes()) != 1:
                broken(
                    f"ran {len(session.notes())} instances of one of {len(sessions)} sessions that "
                    "waited at once, with one instance each"
                )
        check_each_ran_once(triggers_bench, sessions[-1], 1)


def _keeps_back(bench: Bench, seconds: float) -> bool:
    """Return whether tasks started themselves over and over, and something else still waited."""
    later = [bench.session(_turns()) for _ in range(LATER_SESSIONS)]
    # Accepted before all others; the same, of a session that has much to do; and last.
    first = [bench.session(each_go("note")), later[0]]
    first[1].configure(each_go("note"))
    last = bench.session(each_go("note"))
    over = last.folder / "over"
    told = {
        "over": str(over),
        "rounds": ROUNDS,
        "seconds": seconds,
        "first": [str(session.folder) for session in (*first, last)],
    }
    with workers_busy(bench):
        for session in (*first, *later[1:]):
            session.fire("go")
        for session in later:
            for number in range(LATER_TASKS):
                session.fire(f"turn{number}", round=0, **told)
        last.fire("go")
    for session in (*first, *later, last):
        session.settle()
    return over.exists()


def _turns() -> dict[str, dict[str, object]]:
    return {
        f"turn{number}": {
            "after": ["go"],
            "andEvery": f"turn{number}",
            "run": "take_turn",
        }
        for number in range(LATER_TASKS)
    }


def _namesake(bench: Bench, session: Session) -> Session:
    """Return a session of the same uid in another storage."""
    storage = bench.another_storage(f"namesake-{uuid.uuid4()}")
    bench.plugins.add_storage(storage)
    make_manager = bench.conformance.make_manager
    manager = make_manager(session.manager.session_uid, storage, bench.plugins)
    return bench.session_at(manager, each_go("note"))
