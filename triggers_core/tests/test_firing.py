"""What one trigger does to a session: rules F1 to F4, F8 and F10; C3, C4 and C8."""

import pytest

from triggers_core import FireOutcome, InvalidKwargs, Status, trigger_task

from .looks import states

AFTER_PAID = {"after": ["paid"], "run": "shop.ship"}
AFTER_BOTH = {"after": ["paid", "packed"], "run": "shop.ship"}


@trigger_task
def fail(context):
    raise RuntimeError("out of stock")


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


def test_no_trigger_is_nothing_fired(manager):
    assert manager.fire_many([]) == []
    assert manager.instances() == []
