"""What one trigger does to a session: rules F1 to F6, F8, F10 and F11; C3, C4 and C8."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers_core import EventConflict, FireOutcome, InvalidKwargs, Status, trigger_task
from triggers_core.rules.kwargs import digest_of

AFTER_PAID = {"after": ["paid"], "run": "shop.ship"}
AFTER_BOTH = {"after": ["paid", "packed"], "run": "shop.ship"}


@trigger_task
def fail(context):
    raise RuntimeError("out of stock")


def states(manager):
    return {instance.name: instance.status.value for instance in manager.instances()}


def test_f1_an_instance_takes_the_triggers_that_it_awaits_in_any_order(make_manager):
    for uid, order in (("s1", ("paid", "packed")), ("s2", ("packed", "paid"))):
        manager = make_manager(uid)
        manager.update_configuration({"t_ship": AFTER_BOTH})

        first, second = (manager.fire(name, {"by": name}) for name in order)

        assert first == FireOutcome(order[0], created=("t_ship#0",))
        assert second == FireOutcome(order[1], taken=("t_ship#0",), scheduled=("t_ship#0",))
        assert manager.instance("t_ship#0").trigger_kwargs == {
            "paid": {"by": "paid"},
            "packed": {"by": "packed"},
        }


def test_f1_a_second_firing_never_overwrites_what_was_taken(manager):
    manager.update_configuration({"t_ship": AFTER_BOTH})

    manager.fire("paid", {"amount": 1})
    again = manager.fire("paid", {"amount": 2})
    manager.fire("packed")

    assert again == FireOutcome("paid")
    assert manager.instance("t_ship#0").trigger_kwargs["paid"] == {"amount": 1}


def test_f1_every_task_and_every_instance_that_waits_for_it_takes_it(manager):
    manager.update_configuration(
        {
            "t_bill": {"after": ["paid", "packed"], "run": "shop.bill"},
            "t_ship": {"after": ["packed"], "andEvery": "ordered", "run": "shop.ship"},
        }
    )
    manager.fire("ordered", {"item": 1})
    manager.fire("ordered", {"item": 2})
    manager.fire("paid")

    outcome = manager.fire("packed", {"crate": 7})

    assert outcome.created == ()
    assert outcome.taken == outcome.scheduled == ("t_bill#0", "t_ship#0", "t_ship#1")
    assert [
        (instance.trigger_kwargs["ordered"]["item"], instance.trigger_kwargs["packed"]["crate"])
        for instance in manager.instances("t_ship")
    ] == [(1, 7), (2, 7)]


def test_f1_what_has_started_takes_nothing_more(manager, runner, tasks):
    tasks["shop.ship"] = fail
    manager.update_configuration({"t_ship": {**AFTER_PAID, "unless": ["cancelled"]}})
    manager.fire("paid")
    manager.fire("cancelled")
    runner.work()

    late = manager.fire("cancelled", {"too": "late"})

    assert late == FireOutcome("cancelled")
    assert manager.instance("t_ship#0").status is Status.FAILED
    assert manager.instance("t_ship#0").trigger_kwargs == {"paid": {}}


def test_f2_the_first_instance_is_made_by_any_trigger_of_the_task(make_manager):
    directives = {**AFTER_PAID, "andEvery": "ordered", "unless": ["cancelled", "lost"]}
    for trigger_name in ("paid", "ordered", "cancelled", "lost"):
        manager = make_manager(trigger_name)
        manager.update_configuration({"t_ship": directives})

        assert manager.fire(trigger_name).created == ("t_ship#0",)


@pytest.mark.parametrize("status", ["unstarted", "scheduled", "failed", "abandoned"])
def test_f2_no_second_instance_is_made_whatever_became_of_the_first(status, manager, runner, tasks):
    tasks["shop.ship"] = fail
    manager.update_configuration({"t_ship": {**AFTER_PAID, "unless": ["cancelled", "lost"]}})
    manager.fire("cancelled")
    if status in {"scheduled", "failed"}:
        manager.fire("paid")
    if status == "failed":
        runner.work()
    if status == "abandoned":
        manager.fire("lost")
    assert states(manager) == {"t_ship#0": status}

    manager.fire("cancelled")
    manager.fire("paid")
    manager.fire("paid")

    assert list(states(manager)) == ["t_ship#0"]


def test_c3_f2_every_further_firing_of_and_every_makes_a_further_instance(manager):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "ordered"}})
    manager.fire("paid")

    assert manager.fire("ordered", {"item": 0}).taken == ("t_ship#0",)
    assert manager.fire("ordered", {"item": 1}).created == ("t_ship#1",)
    assert manager.fire("ordered", {"item": 2}).created == ("t_ship#2",)
    assert [
        instance.trigger_kwargs["ordered"]["item"] for instance in manager.instances("t_ship")
    ] == [0, 1, 2]


def test_c3_f2_and_every_makes_none_where_an_instance_takes_it(manager):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "ordered"}})
    manager.fire("paid")

    outcome = manager.fire("ordered")

    assert outcome == FireOutcome("ordered", taken=("t_ship#0",), scheduled=("t_ship#0",))


def test_c3_and_every_may_be_the_one_trigger_of_after(manager):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "paid"}})

    outcomes = [manager.fire("paid") for _ in range(3)]

    assert [outcome.scheduled for outcome in outcomes] == [
        ("t_ship#0",),
        ("t_ship#1",),
        ("t_ship#2",),
    ]


def test_f3_a_new_instance_takes_the_latest_kwargs_of_what_fired_before(manager):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "ordered"}})
    manager.fire("paid", {"amount": 1})
    manager.fire("ordered", {"item": 0})
    manager.fire("paid", {"amount": 2})

    outcome = manager.fire("ordered", {"item": 1})

    assert outcome == FireOutcome("ordered", created=("t_ship#1",), scheduled=("t_ship#1",))
    assert manager.instance("t_ship#0").trigger_kwargs["paid"] == {"amount": 1}
    assert manager.instance("t_ship#1").trigger_kwargs["paid"] == {"amount": 2}


def test_f3_c4_a_new_instance_takes_unless_too_and_is_abandoned_at_once(manager):
    manager.update_configuration(
        {"t_ship": {**AFTER_PAID, "andEvery": "ordered", "unless": ["cancelled"]}}
    )
    manager.fire("paid")
    manager.fire("ordered")
    manager.fire("cancelled")

    outcome = manager.fire("ordered")

    assert outcome == FireOutcome("ordered", created=("t_ship#1",), abandoned=("t_ship#1",))
    assert states(manager) == {"t_ship#0": "scheduled", "t_ship#1": "abandoned"}


def test_f3_the_instance_of_a_session_takes_nothing_of_another(make_manager):
    here, there = make_manager("here"), make_manager("there")
    for manager in (here, there):
        manager.update_configuration({"t_ship": AFTER_BOTH})

    there.fire("paid")
    here.fire("packed")

    assert here.instance("t_ship#0").waits_for == {"paid"}
    assert there.instance("t_ship#0").waits_for == {"packed"}


def test_f4_an_instance_is_scheduled_as_soon_as_nothing_is_awaited_and_handed_on_once(
    manager, runner
):
    manager.update_configuration({"t_ship": AFTER_BOTH})
    manager.fire("paid")
    assert (states(manager), runner.names) == ({"t_ship#0": "unstarted"}, [])

    manager.fire("packed")
    manager.fire("packed")
    manager.fire("paid")

    assert (states(manager), runner.names) == ({"t_ship#0": "scheduled"}, ["t_ship#0"])
    assert manager.instance("t_ship#0").waits_for == frozenset()


def test_f4_a_task_that_waits_for_one_trigger_is_made_and_ready_in_one_step(manager):
    manager.update_configuration({"t_ship": AFTER_PAID})

    outcome = manager.fire("paid")

    assert outcome == FireOutcome("paid", created=("t_ship#0",), scheduled=("t_ship#0",))


def test_c4_all_of_unless_before_the_last_awaited_abandons(manager, runner):
    manager.update_configuration({"t_ship": {**AFTER_BOTH, "unless": ["cancelled", "refunded"]}})
    manager.fire("paid")

    assert manager.fire("cancelled").abandoned == ()
    assert manager.fire("refunded").abandoned == ("t_ship#0",)
    assert manager.fire("packed") == FireOutcome("packed")
    assert (states(manager), runner.names) == ({"t_ship#0": "abandoned"}, [])


def test_c4_some_of_unless_abandons_nothing(manager, runner):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "unless": ["cancelled", "refunded"]}})
    manager.fire("cancelled")

    manager.fire("paid")

    assert runner.names == ["t_ship#0"]


def test_c4_what_is_scheduled_is_not_abandoned_any_more(manager, runner):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "unless": ["cancelled"]}})
    manager.fire("paid")

    outcome = manager.fire("cancelled")

    assert outcome == FireOutcome("cancelled")
    assert (states(manager), runner.names) == ({"t_ship#0": "scheduled"}, ["t_ship#0"])


def test_c4_abandon_is_checked_before_run(manager, runner):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "unless": ["paid"]}})

    outcome = manager.fire("paid")

    assert outcome == FireOutcome("paid", created=("t_ship#0",), abandoned=("t_ship#0",))
    assert runner.names == []


@pytest.mark.parametrize(
    ("kwargs", "culprit", "kind"),
    [
        ({"when": {1}}, "when", "set"),
        ({"a": [0, {"b": object()}]}, "a[1].b", "object"),
        ({"a": b"bytes"}, "a", "bytes"),
        ({"amount": Decimal("1.5")}, "amount", "Decimal"),
        ({"a": {"b": math.nan}}, "a.b", "nan"),
        ({"a": -math.inf}, "a", "-inf"),
        ({"a": {2: "x"}}, "key 2 in a", "int"),
        ({None: 1}, "key None", "NoneType"),
        ([("a", 1)], "kwargs", "list"),
    ],
)
def test_f5_kwargs_that_are_no_json_are_refused_by_key_and_type(
    kwargs, culprit, kind, manager, storage, stored
):
    manager.update_configuration({"t_ship": AFTER_PAID})
    before = stored(storage)

    with pytest.raises(InvalidKwargs) as caught:
        manager.fire("paid", kwargs)

    message = str(caught.value)
    assert message.startswith("trigger 'paid': ")
    assert culprit in message
    assert kind in message
    assert stored(storage) == before


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"": 0, "with space": 1, "ünïcode ✓": "✓"},
        {"a": [None, True, False, 0, -1, 1.5, "", [], {}]},
        {"big": 10**300, "small": 5e-324, "zero": -0.0},
        {"text": "line\nbreak\0nul\ud800lone surrogate"},
        {"paid": {"paid": {"paid": {}}}},
    ],
)
def test_f5_what_json_has_a_form_for_arrives_as_it_was_fired(kwargs, manager):
    manager.update_configuration({"t_ship": AFTER_PAID})

    manager.fire("paid", kwargs)

    assert manager.instance("t_ship#0").trigger_kwargs == {"paid": kwargs}


def test_f5_a_structure_that_contains_itself_is_refused(manager):
    kwargs = {"list": []}
    kwargs["list"].append(kwargs)

    with pytest.raises(InvalidKwargs, match=r"list\[0\]\.list\[0\].*contains itself"):
        manager.fire("paid", kwargs)


def test_f5_what_was_fired_is_not_the_callers_any_more(manager):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "ordered"}})
    kwargs = {"items": [{"count": 1}]}

    manager.fire("paid", kwargs)
    kwargs["items"][0]["count"] = 2
    manager.instance("t_ship#0").trigger_kwargs["paid"]["items"].append("mine")
    manager.fire("ordered")
    manager.fire("ordered")

    assert [instance.trigger_kwargs["paid"] for instance in manager.instances()] == [
        {"items": [{"count": 1}]},
        {"items": [{"count": 1}]},
    ]


def test_f6_the_second_fire_of_an_event_changes_nothing_and_returns_the_firsts_outcome(
    manager, storage, stored, runner
):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "paid"}})
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
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "paid"}})
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
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "paid"}})

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


def test_f10_what_a_trigger_makes_ready_is_dispatched_in_one_order(manager, runner):
    """What existed, by task name and number; then what is made, as configured."""
    also = {"after": ["asked", "go"], "run": "app.t"}
    manager.update_configuration(
        {
            "t_z": {"after": ["go"], "run": "app.t"},
            "t_b": {**also, "andEvery": "asked"},
            "t_a": {"after": ["go"], "run": "app.t"},
            "t_Ä": also,
            "t_B": also,
        }
    )
    for _ in range(11):
        manager.fire("asked")

    outcome = manager.fire("go")

    existed = ["t_B#0", *(f"t_b#{number}" for number in range(11)), "t_Ä#0"]
    assert runner.names == list(outcome.scheduled) == [*existed, "t_z#0", "t_a#0"]


def test_a_fire_that_no_task_names_says_so_once_a_name(manager, storage, caplog):
    known, name = f"ordered in {storage.name}", f"oredred in {storage.name}"
    manager.fire(name)
    manager.update_configuration({"t_ship": {"after": [known], "run": "app.t"}})

    outcomes = [manager.fire(name), manager.fire(name)]

    assert [outcome.is_awaited for outcome in outcomes] == [False, False]
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert record.getMessage() == (
        f"session 's': the trigger {name!r} is recorded, but no task waits for it; "
        f"did you mean {known!r}?"
    )


def test_f6_an_event_of_another_session_is_another_event(make_manager, runner):
    for uid in ("s1", "s2"):
        manager = make_manager(uid)
        manager.update_configuration({"t_ship": AFTER_PAID})

        assert manager.fire("paid", event_id="e1").scheduled == ("t_ship#0",)

    assert runner.names == ["t_ship#0", "t_ship#0"]


def test_f6_an_event_that_was_refused_may_be_fired_again(manager):
    with pytest.raises(InvalidKwargs):
        manager.fire("paid", {"a": object()}, event_id="e1")
    manager.update_configuration({"t_ship": AFTER_PAID})

    assert manager.fire("paid", event_id="e1").created == ("t_ship#0",)


def test_f8_the_latest_kwargs_are_kept_of_what_nobody_awaits(manager):
    manager.fire("paid", {"amount": 1})
    manager.fire("paid", {"amount": 2})
    manager.update_configuration({"t_ship": AFTER_BOTH})

    outcome = manager.fire("packed")

    assert outcome.scheduled == ("t_ship#0",)
    assert manager.instance("t_ship#0").trigger_kwargs["paid"] == {"amount": 2}


def test_c8_a_configuration_applies_no_trigger_that_fired_before_it(manager, runner):
    manager.fire("paid")

    manager.update_configuration({"t_ship": AFTER_PAID})

    assert (states(manager), runner.names) == ({}, [])


def test_several_triggers_do_what_they_would_one_after_the_other(make_manager):
    firings = [("paid", {"amount": 1}), ("packed",), ("ordered", None, "e1"), ("ordered",)]
    together, one_by_one = make_manager("together"), make_manager("one_by_one")
    for manager in (together, one_by_one):
        manager.update_configuration({"t_ship": {**AFTER_BOTH, "andEvery": "ordered"}})

    outcomes = together.fire_many(firings)

    assert outcomes == [
        one_by_one.fire("paid", {"amount": 1}),
        one_by_one.fire("packed"),
        one_by_one.fire("ordered", event_id="e1"),
        one_by_one.fire("ordered"),
    ]
    assert states(together) == states(one_by_one)
    assert together.fire("ordered", event_id="e1") == outcomes[2]


def test_of_several_triggers_all_are_fired_or_none(manager, storage, stored, runner):
    manager.update_configuration({"t_ship": AFTER_PAID})
    before = stored(storage)

    with pytest.raises(InvalidKwargs, match="trigger 'packed': a is object"):
        manager.fire_many([("paid",), ("packed", {"a": object()})])

    assert (stored(storage), runner.names) == (before, [])


def test_an_event_repeated_among_several_is_fired_once(manager):
    manager.update_configuration({"t_ship": {**AFTER_PAID, "andEvery": "paid"}})

    first, second = manager.fire_many([("paid", None, "e1"), ("paid", None, "e1")])

    assert first == second
    assert states(manager) == {"t_ship#0": "scheduled"}


def test_no_trigger_is_nothing_fired(manager):
    assert manager.fire_many([]) == []
    assert manager.instances() == []
