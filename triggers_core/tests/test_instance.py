"""Where an instance may go from where it stands, and what its name says."""

import itertools

import pytest

from triggers_core import InstanceNotFound, InvalidTransition, Status, TaskInstance
from triggers_core.rules.instance import ACTIVE, split_instance_name

UNSTARTED, SCHEDULED, RUNNING = Status.UNSTARTED, Status.SCHEDULED, Status.RUNNING
FINISHED, FAILED, ABANDONED = Status.FINISHED, Status.FAILED, Status.ABANDONED
REPLAYED, SKIPPED = Status.REPLAYED, Status.SKIPPED

ALLOWED = {
    (UNSTARTED, SCHEDULED),
    (UNSTARTED, ABANDONED),
    (SCHEDULED, RUNNING),
    (SCHEDULED, ABANDONED),
    (RUNNING, FINISHED),
    (RUNNING, FAILED),
    (RUNNING, REPLAYED),
    (RUNNING, SKIPPED),
    (FAILED, REPLAYED),
    (FAILED, SKIPPED),
}
FORBIDDEN = sorted(set(itertools.product(Status, Status)) - ALLOWED)


def instance_that_is(status, **changes):
    values = {
        "session_uid": "s",
        "task_name": "t_pay",
        "number": 3,
        "config_digest": "d",
        "status": status,
        "created_at": 1.0,
        "changed_at": 1.0,
        "waits_for": frozenset({"paid"}) if status is UNSTARTED else frozenset(),
        "recover_at": 9.0 if status in ACTIVE else None,
        **changes,
    }
    return TaskInstance(**values)


def ids(pair):
    return f"{pair[0]}-{pair[1]}"


@pytest.mark.parametrize("pair", sorted(ALLOWED), ids=ids)
def test_an_allowed_step_is_taken_at_its_time_and_leaves_nothing_to_wait_for(pair):
    before, after = pair

    moved = instance_that_is(before).to(after, at=2.0)

    assert (moved.status, moved.changed_at, moved.created_at) == (after, 2.0, 1.0)
    assert (moved.waits_for, moved.recover_at) == (frozenset(), None)


def test_the_times_of_its_life_are_kept():
    waiting = instance_that_is(UNSTARTED)
    scheduled = waiting.to(SCHEDULED, at=2.0)
    running = scheduled.to(RUNNING, at=3.5)
    failed = running.to(FAILED, at=7.0)

    assert (waiting.scheduled_at, waiting.started_at, waiting.ended_at) == (None, None, None)
    assert (scheduled.scheduled_at, scheduled.started_at, scheduled.ended_at) == (2.0, None, None)
    assert (running.scheduled_at, running.started_at, running.ended_at) == (2.0, 3.5, None)
    assert (failed.scheduled_at, failed.started_at, failed.ended_at) == (2.0, 3.5, 7.0)


def test_what_a_person_does_later_is_not_its_end():
    failed = instance_that_is(RUNNING).to(FAILED, at=7.0)

    skipped = failed.to(SKIPPED, at=99.0)

    assert (skipped.changed_at, skipped.ended_at) == (99.0, 7.0)


@pytest.mark.parametrize("pair", FORBIDDEN, ids=ids)
def test_every_other_step_is_an_invalid_transition_that_names_both_ends(pair):
    before, after = pair
    instance = instance_that_is(before)

    with pytest.raises(InvalidTransition) as caught:
        instance.to(after, at=2.0)

    assert f"t_pay#3 of session 's' is {before} and cannot become {after}" in str(caught.value)
    assert instance == instance_that_is(before)


def test_the_error_lists_the_steps_that_are_left():
    with pytest.raises(InvalidTransition, match="from failed it can become replayed or skipped"):
        instance_that_is(FAILED).to(RUNNING, at=2.0)
    with pytest.raises(InvalidTransition, match="it can become nothing: that is final"):
        instance_that_is(FINISHED).to(RUNNING, at=2.0)


def test_a_status_that_there_is_not_is_an_invalid_transition():
    with pytest.raises(InvalidTransition, match="is running and cannot become done"):
        instance_that_is(RUNNING).to("done", at=2.0)


def test_a_step_may_change_more_with_it():
    moved = instance_that_is(SCHEDULED).to(RUNNING, at=2.0, recover_at=60.0, reruns_left=2)

    assert (moved.recover_at, moved.reruns_left) == (60.0, 2)


def test_metadata_is_added_to_and_what_was_read_stays_as_it_was():
    instance = instance_that_is(FINISHED, metadata={"result": {}})

    changed = instance.with_metadata(logs_resolved=True)

    assert changed.metadata == {"result": {}, "logs_resolved": True}
    assert instance.metadata == {"result": {}}


@pytest.mark.parametrize("status", Status)
def test_only_a_failed_instance_is_unresolved_where_nothing_was_logged(status):
    assert instance_that_is(status).is_resolved == (status is not FAILED)


@pytest.mark.parametrize("status", Status)
def test_what_was_logged_is_unresolved_until_a_clone_or_a_person_has_dealt_with_it(status):
    logs = [{"level": "WARNING", "message": "slow"}]
    instance = instance_that_is(status, metadata={"logs": logs})

    assert instance.is_resolved == (status in {REPLAYED, SKIPPED})
    assert instance.with_metadata(logs_resolved=True).is_resolved


def test_a_name_says_the_task_and_the_number():
    assert instance_that_is(RUNNING).name == "t_pay#3"
    assert split_instance_name("t_pay#3") == ("t_pay", 3)
    assert split_instance_name("with#mark#12") == ("with#mark", 12)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "t_pay",
        "#0",
        "t_pay#",
        "t_pay#x",
        "t_pay#-1",
        "t_pay#+1",
        "t_pay#1.0",
        "t_pay#1e3",
        "t_pay# 1",
        "t_pay#1\n",
        "t_pay#1_0",
        "t_pay#²",
        "t_pay#٣",
        "t_pay#007",
        "t_pay#" + "9" * 40,
        None,
        7,
        b"t_pay#0",
    ],
)
def test_what_does_not_look_like_a_name_is_an_instance_that_there_is_not(name):
    with pytest.raises(InstanceNotFound, match="is no instance name; one looks like 't_task#0'"):
        split_instance_name(name)
