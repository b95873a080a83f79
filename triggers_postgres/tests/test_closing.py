"""How a session ends, on PostgreSQL: rules 9 to 13 of docs/concepts.md."""

import threading

import psycopg
import pytest

from triggers_core import InvalidTransition, SessionClosed, Status, execute, trigger_task
from triggers_core.recovery import recover_once

DEADLINE_SECONDS = 30.0
ROUNDS = 10
STEPS = {
    "quote": {"after": ["asked"], "run": "shop.quote", "onFailure": "quote_failed"},
    "order": {"after": ["quote", "accepted"], "run": "shop.order"},
    "tell": {"andEvery": "quote_failed", "run": "shop.tell"},
}


@pytest.fixture
def case(storage, open_session):
    """Give a session in which quote#0 is scheduled and order#0 waits."""
    case = open_session(storage, configuration=STEPS)
    case.fire("asked", {"by": "Bo"}, event_id="mail-1")
    case.fire("accepted")
    return case


def run(manager, body, name="quote#0"):
    """Run the instance, with the function as its task."""
    return execute(manager, manager.instance(name), resolve=lambda *_: trigger_task(body))


def states(manager):
    return {instance.name: instance.status.value for instance in manager.instances()}


def test_a_session_is_cancelled_whole(case, storage, idle_runner):
    first = case.fire("asked", {"by": "Bo"}, event_id="mail-1")
    outcome = case.cancel(reason="withdrawn", by="Ada")

    assert outcome.abandoned == ("order#0", "quote#0")
    assert outcome.closing == case.closing()
    assert states(case) == {"order#0": "abandoned", "quote#0": "abandoned"}
    assert case.cancel(by="Bo").closing == outcome.closing
    before = case.instances()
    with pytest.raises(SessionClosed, match="cancelled by Ada: withdrawn"):
        case.fire("accepted")
    with pytest.raises(SessionClosed):
        case.update_configuration(STEPS)
    assert case.fire("asked", {"by": "Bo"}, event_id="mail-1") == first
    assert case.instances() == before
    assert recover_once(storage, plugins=case.plugins).count == 0
    assert idle_runner.accepted == ["quote#0"]


def test_what_runs_is_told_and_its_cascade_starts_nothing(case):
    found = []

    def body(context):
        found.append(context.is_cancelled())
        case.cancel()
        found.append(context.is_cancelled())
        return {"euros": 40}

    assert run(case, body).status is Status.FINISHED
    assert found == [False, True]
    assert states(case) == {"order#0": "abandoned", "quote#0": "finished"}


def test_one_that_is_under_way_is_not_closed(case):
    with pytest.raises(InvalidTransition, match="quote#0 is scheduled"):
        case.close()
    run(case, lambda _: {})
    with pytest.raises(InvalidTransition, match="order#0 is scheduled"):
        case.close()
    run(case, lambda _: {}, "order#0")
    assert case.close().closing.how == "closed"


def test_of_a_fire_and_a_cancellation_at_once_either_comes_first(make_storage, open_session):
    here, there = make_storage(), make_storage()
    for number in range(ROUNDS):
        manager, other = (open_session(each, f"s{number}") for each in (here, there))
        manager.update_configuration(STEPS)
        start, refused = threading.Barrier(2), []

        def fire(other=other, start=start, refused=refused):
            start.wait(DEADLINE_SECONDS)
            try:
                other.fire("asked")
            except SessionClosed as error:
                refused.append(error)

        thread = threading.Thread(target=fire)
        thread.start()
        start.wait(DEADLINE_SECONDS)
        manager.cancel()
        thread.join(DEADLINE_SECONDS)
        assert states(manager) == ({} if refused else {"quote#0": "abandoned"})


def test_a_failure_and_what_follows_from_it_are_recorded_together(case, idle_runner):
    def breaks(context):
        raise LookupError("no such part: ☃")

    run(case, breaks)
    assert states(case) == {"order#0": "unstarted", "quote#0": "failed", "tell#0": "scheduled"}
    assert case.instance("tell#0").trigger_kwargs["quote_failed"] == {
        "instance": "quote#0",
        "attempt": 1,
        "type": "LookupError",
        "message": "no such part: ☃",
    }
    assert case.instance("quote#0").metadata["followed"] == {
        "trigger": "quote_failed",
        "took": ["tell#0"],
    }
    assert idle_runner.accepted == ["quote#0", "tell#0"]


def test_a_fire_asks_nothing_more_for_it(case, monkeypatch):
    statements = []
    execute_it = psycopg.Cursor.execute

    def told(self, query, *arguments, **more):
        statements.append(query)
        return execute_it(self, query, *arguments, **more)

    monkeypatch.setattr(psycopg.Cursor, "execute", told)
    case.fire("accepted")
    texts = [each if isinstance(each, str) else each.decode() for each in statements]
    assert sum("closed" in text for text in texts) == 1
