"""What comes twice is one event: rules F6 and F11."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers_core import EventConflict, FireOutcome, InvalidKwargs
from triggers_core.rules.kwargs import digest_of

from .looks import states
from .shop import SHIP


def test_f6_the_second_fire_of_an_event_changes_nothing_and_returns_the_firsts_outcome(
    manager, storage, stored, runner
):
    manager.update_configuration({"t_ship": {**SHIP, "andEvery": "paid"}})
    first = manager.fire("paid", {"amount": 1}, event_id="e1")
    before = stored(storage)

    second = manager.fire("paid", {"amount": 1}, event_id="e1")

    assert second == first == FireOutcome("paid", created=("t_ship#0",), scheduled=("t_ship#0",))
    assert stored(storage) == before
    assert runner.names == ["t_ship#0"]


def test_f6_an_event_of_another_id_is_another_event(manager):
    manager.fire("paid", event_id="e1")

    assert manager.fire("paid", event_id="e2") == FireOutcome("paid", is_awaited=False)


@pytest.mark.parametrize(
    ("firing", "differs"),
    [
        (("packed", {"amount": 1}, "e1"), "fired 'paid' before, and now 'packed'"),
        (("paid", {"amount": 2}, "e1"), "and now 'paid' with other kwargs"),
        (("paid", {"amount": 1.5}, "e1"), "and now 'paid' with other kwargs"),
        (("paid", {}, "e1"), "and now 'paid' with other kwargs"),
        (("paid", None, "e1"), "and now 'paid' with other kwargs"),
    ],
)
def test_f11_an_event_that_comes_again_with_another_firing_is_refused(
    manager, storage, stored, runner, firing, differs
):
    manager.update_configuration({"t_ship": {**SHIP, "andEvery": "paid"}})
    manager.fire("paid", {"amount": 1}, event_id="e1")
    before = stored(storage)

    with pytest.raises(EventConflict, match=differs) as refused:
        manager.fire(*firing[:2], event_id=firing[2])
    with pytest.raises(EventConflict):
        manager.fire_many([("packed",), firing])

    assert "event 'e1' of session 's'" in str(refused.value)
    assert stored(storage) == before
    assert runner.names == ["t_ship#0"]


def test_f11_two_of_one_id_in_a_batch_are_one_event_or_none(manager, storage, stored):
    manager.update_configuration({"t_ship": {**SHIP, "andEvery": "paid"}})

    first, second = manager.fire_many([("paid", {"a": 1}, "e1"), ("paid", {"a": 1}, "e1")])
    before = stored(storage)
    with pytest.raises(EventConflict):
        manager.fire_many([("paid", {"a": 1}, "e2"), ("paid", {"a": 2}, "e2")])

    assert first == second
    assert stored(storage) == before


@given(kwargs=st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), max_size=5))
def test_f11_the_order_of_keys_is_no_matter_and_all_else_is(kwargs):
    backwards = dict(reversed(list(kwargs.items())))

    assert digest_of(kwargs) == digest_of(backwards)
    assert digest_of(kwargs) != digest_of({**kwargs, "one more": None})


def test_f11_an_event_of_a_release_that_kept_no_digest_is_told_by_its_trigger(manager, storage):
    outcome = {"trigger_name": "paid", "created": [], "taken": [], "scheduled": [], "abandoned": []}
    with storage.transaction("s", manager.name) as unit:
        unit.record_outcome("e1", outcome)

    assert manager.fire("paid", {"whatever": 1}, event_id="e1") == FireOutcome("paid")
    with pytest.raises(EventConflict):
        manager.fire("packed", event_id="e1")


def test_f6_an_event_of_another_session_is_another_event(make_manager, runner):
    for uid in ("s1", "s2"):
        manager = make_manager(uid)
        manager.update_configuration({"t_ship": SHIP})

        assert manager.fire("paid", event_id="e1").scheduled == ("t_ship#0",)

    assert runner.names == ["t_ship#0", "t_ship#0"]


def test_f6_an_event_that_was_refused_may_be_fired_again(manager):
    with pytest.raises(InvalidKwargs):
        manager.fire("paid", {"a": object()}, event_id="e1")
    manager.update_configuration({"t_ship": SHIP})

    assert manager.fire("paid", event_id="e1").created == ("t_ship#0",)


def test_an_event_repeated_among_several_is_fired_once(manager):
    manager.update_configuration({"t_ship": {**SHIP, "andEvery": "paid"}})

    first, second = manager.fire_many([("paid", None, "e1"), ("paid", None, "e1")])

    assert first == second
    assert states(manager) == {"t_ship#0": "scheduled"}
