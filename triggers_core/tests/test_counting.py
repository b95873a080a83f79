"""Sessions whose tasks wait for one of several, for so many, or as often as a trigger says."""

import pytest

from triggers_core import ConfigurationError, InvalidKwargs, Status, trigger_task

AS_LISTED = {"each": "photo", "times": {"from": "listed", "key": "count"}}


def task(*after, **directives):
    return {"after": list(after), "run": "app.decide", **directives}


@pytest.fixture
def seen(tasks):
    """Give a list of what each run of ``app.decide`` got: (kwargs, firings, taken)."""
    seen = []

    @trigger_task
    def decide(context):
        seen.append((context.trigger_kwargs, context.firings, context.taken))
        return {}

    tasks["app.decide"] = decide
    return seen


@pytest.fixture
def configured(manager):
    """Return a function that configures the task ``decide``, and gives the manager."""

    def configure(*after, **directives):
        manager.update_configuration({"decide": task(*after, **directives)})
        return manager

    return configure


def status(manager, name="decide#0"):
    return manager.instance(name).status


def photos(manager, *numbers):
    return manager.fire_many([("photo", {"n": number}) for number in numbers])


def test_c10_any_holds_with_the_first_and_the_rest_is_not_taken(configured, seen, runner):
    manager = configured("order", {"any": ["card", "transfer"]})

    manager.fire("order")
    assert manager.instance("decide#0").waits_for == {"card", "transfer"}
    assert manager.fire("transfer", {"euros": 4}).scheduled == ("decide#0",)
    assert manager.fire("card").taken == ()
    runner.work()

    assert seen == [({"order": {}, "transfer": {"euros": 4}}, {}, {"order", "transfer"})]


def test_c10_what_did_not_fire_is_there_if_with_params_gives_it(configured, seen, runner):
    manager = configured({"any": ["card", "transfer"]}, withParams={"card": {"fee": 1}})

    manager.fire("transfer")
    runner.work()

    [(kwargs, _, taken)] = seen
    assert kwargs == {"card": {"fee": 1}, "transfer": {}}
    assert taken == {"transfer"}


def test_c10_so_many_of_several(configured):
    manager = configured({"atLeast": 2, "of": ["a", "b", {"all": ["c", "d"]}]})

    manager.fire_many([("c",), ("a",)])
    assert status(manager) is Status.UNSTARTED
    assert manager.fire("d").scheduled == ("decide#0",)


def test_c10_nested_conditions_take_whatever_they_name(configured):
    manager = configured({"any": [{"all": ["a", "b"]}, {"all": ["c", "d"]}]})

    manager.fire_many([("a",), ("c",), ("a", {"n": 2})])
    assert manager.instance("decide#0").trigger_kwargs == {"a": {}, "c": {}}
    assert manager.fire("b").scheduled == ("decide#0",)


def test_c4_unless_holds_by_a_condition_and_is_checked_first(configured):
    manager = configured("paid", unless=[{"any": ["withdrawn", "rejected"]}])

    manager.fire("rejected")
    assert status(manager) is Status.ABANDONED


def test_c4_unless_may_count(configured):
    manager = configured("paid", unless=[{"each": "refused", "times": 2}])

    assert manager.fire("refused").abandoned == ()
    assert manager.fire("refused").abandoned == ("decide#0",)


def test_what_counts_only_to_abandon_is_not_received(configured, seen, runner):
    manager = configured("paid", unless=[{"each": "refused", "times": 2}])

    manager.fire_many([("refused",), ("paid",)])
    runner.work()

    assert seen == [({"paid": {}}, {}, {"paid", "refused"})]


def test_conditions_may_stand_beside_and_every(configured):
    manager = configured({"any": ["card", "transfer"]}, andEvery="order")

    manager.fire_many([("order", {"n": 0}), ("card",), ("order", {"n": 1})])

    instances = manager.instances()
    assert [each.status for each in instances] == [Status.SCHEDULED] * 2
    assert [each.trigger_kwargs["order"]["n"] for each in instances] == [0, 1]


def test_c11_a_counted_trigger_is_taken_each_time_in_order(configured, seen, runner):
    manager = configured({"each": "photo", "times": 3}, withParams={"photo": {"of": "hull"}})

    outcomes = photos(manager, 5, 3)
    assert [outcome.created or outcome.taken for outcome in outcomes] == [("decide#0",)] * 2
    unstarted = manager.instance("decide#0")
    assert (unstarted.counts, unstarted.waits_for) == ({"photo": 2}, {"photo"})
    assert unstarted.trigger_kwargs == {"photo": {"n": 3}}
    assert manager.fire("photo", {"n": 4}).scheduled == ("decide#0",)
    assert manager.fire("photo", {"n": 9}).taken == ()
    runner.work()

    [(kwargs, firings, _)] = seen
    assert kwargs == {"photo": {"of": "hull", "n": 4}}
    assert firings == {"photo": [{"of": "hull", "n": number} for number in (5, 3, 4)]}


def test_c11_what_is_counted_beside_others_is_taken_until_the_instance_is_ready(
    configured, seen, runner
):
    manager = configured({"each": "photo", "times": 1}, "listed")

    photos(manager, 1, 2, 3)
    manager.fire("listed")
    photos(manager, 4)
    runner.work()

    assert [each["n"] for each in seen[0][1]["photo"]] == [1, 2, 3]


@pytest.mark.parametrize("order", [("listed", 1, 2), (1, "listed", 2), (1, 2, "listed")])
def test_c12_the_number_may_come_before_between_or_after(configured, seen, runner, order):
    manager = configured(AS_LISTED)

    for step in order:
        assert not runner.held
        if step == "listed":
            manager.fire("listed", {"count": 2})
        else:
            photos(manager, step)
    runner.work()

    [(kwargs, firings, taken)] = seen
    assert kwargs == {"listed": {"count": 2}, "photo": {"n": 2}}
    assert firings == {"photo": [{"n": 1}, {"n": 2}]}
    assert taken == {"listed", "photo"}


def test_c12_a_number_of_0_holds_at_once(configured, seen, runner):
    assert configured(AS_LISTED).fire("listed", {"count": 0}).scheduled == ("decide#0",)
    runner.work()

    assert seen == [({"listed": {"count": 0}}, {"photo": []}, {"listed"})]


@pytest.mark.parametrize("count", [-1, 1.5, True, "2", None])
@pytest.mark.parametrize("when", ["before", "amid", "after"])
def test_c12_a_number_that_is_none_fails_the_fire_and_changes_nothing(
    configured, stored, storage, count, when
):
    manager = configured(AS_LISTED)
    if when != "before":
        photos(manager, 1)
    if when == "after":
        manager.fire("listed", {"count": 1})
    before = stored(storage)

    for firing in (("listed", {"count": count}, "event"), ("listed", {}, "event")):
        with pytest.raises(InvalidKwargs, match="int of 0 or more"):
            manager.fire_many([("photo", {"n": 7}), firing])

    assert stored(storage) == before


def test_c12_a_result_that_brings_no_number_fails_its_task(manager, tasks, runner):
    results = iter([{"count": "two"}, {"count": 0}])
    tasks["app.list"] = trigger_task(lambda context: next(results))
    manager.update_configuration(
        {"listed": {"after": ["go"], "run": "app.list"}, "decide": task(AS_LISTED)}
    )

    manager.fire("go")
    failed = runner.work_once()
    assert failed.status is Status.FAILED
    assert failed.metadata["error"]["type"] == "InvalidKwargs"
    manager.replay_failed_instance("listed#0")
    runner.work_once()

    assert runner.names == ["decide#0"]


def test_c12_a_skip_that_brings_no_number_fails_its_task(manager, tasks, runner):
    tasks["app.list"] = trigger_task(lambda context: context.skip(cascade=True))
    manager.update_configuration(
        {"listed": {"after": ["go"], "run": "app.list"}, "decide": task(AS_LISTED)}
    )

    manager.fire("go")
    assert runner.work_once().status is Status.FAILED
    with pytest.raises(InvalidKwargs, match="missing"):
        manager.skip_failed_instance("listed#0", cascade=True)
    manager.skip_failed_instance("listed#0", cascade=True, result={"count": 0})

    assert runner.names == ["decide#0"]


def test_f3_a_new_instance_takes_all_firings_of_what_it_counts(configured, seen, runner):
    manager = configured("go", {"each": "photo", "times": 2})
    manager.update_configuration({"later": task("go", {"each": "photo", "times": 4})})

    photos(manager, 1, 2)
    manager.fire("go")
    photos(manager, 3)
    manager.update_configuration({"last": task("end", {"each": "photo", "times": 1})})
    photos(manager, 4)
    manager.fire("end")
    runner.work()

    taken = [[each["n"] for each in firings["photo"]] for _, firings, _ in seen]
    assert taken == [[1, 2], [1, 2, 3, 4], [1, 2, 3, 4]]


def test_f3_what_fired_before_anybody_counted_counts_once_with_its_latest_kwargs(
    configured, seen, runner
):
    manager = configured("photo", "go")
    photos(manager, 1, 2)

    manager.update_configuration(
        {"decide": task("go", {"each": "photo", "times": 2})}, replace=True
    )
    manager.update_configuration({"count": task({"each": "photo", "times": 3})})
    photos(manager, 3)
    manager.fire("go")
    photos(manager, 4)
    runner.work()

    assert manager.instance("decide#0").trigger_kwargs["photo"] == {"n": 1}  # as it was made
    assert [each["n"] for each in seen[1][1]["photo"]] == [2, 3, 4]


def test_f3_what_fired_while_nobody_counted_counts_once(configured, seen, runner):
    manager = configured("go", {"each": "photo", "times": 1})
    photos(manager, 1, 2)
    manager.abandon_instance("decide#0", reason="to try it")
    manager.update_configuration({"other": task("x")}, replace=True)
    photos(manager, 3, 4)
    for _ in range(2):
        manager.update_configuration({"next": task("go", {"each": "photo", "times": 4})})
    photos(manager, 5)

    manager.fire("go")
    runner.work()

    assert [each["n"] for each in seen[0][1]["photo"]] == [1, 2, 4, 5]


def test_f3_one_that_waits_by_an_earlier_configuration_counts_on(configured, seen, runner):
    manager = configured("go", {"each": "photo", "times": 3})
    photos(manager, 1)
    manager.update_configuration({"other": task("x")}, replace=True)

    photos(manager, 2, 3)
    manager.fire("go")
    runner.work()

    assert [each["n"] for each in seen[0][1]["photo"]] == [1, 2, 3]


def test_one_that_is_taken_over_counts_all_that_the_session_has_seen(configured, seen, runner):
    manager = configured("photo", "go")
    photos(manager, 1, 2)
    counting = {"decide": task({"each": "photo", "times": 2}, "go")}

    tried = manager.update_configuration(counting, update_instances=True, dry_run=True)
    done = manager.update_configuration(counting, update_instances=True)
    assert tried == done
    assert manager.instance("decide#0").counts == {"photo": 1}
    photos(manager, 3)
    manager.fire("go")
    runner.work()

    assert [each["n"] for each in seen[0][1]["photo"]] == [2, 3]


def test_one_that_is_taken_over_may_be_ready_by_it(configured):
    manager = configured("photo", "go")
    photos(manager, 1, 2)
    holds = {"decide": task({"any": ["go", {"each": "photo", "times": 1}]})}

    tried = manager.update_configuration(holds, update_instances=True, dry_run=True)

    assert tried.scheduled == ("decide#0",)
    assert manager.update_configuration(holds, update_instances=True) == tried


def test_a_number_that_was_fired_wrong_before_it_was_one_is_waited_for_anew(configured, seen):
    manager = configured("listed", "go")
    manager.fire("listed", {"count": "many"})
    manager.update_configuration({"next": task(AS_LISTED)})

    photos(manager, 1)
    assert manager.instance("next#0").waits_for == {"photo", "listed"}
    assert manager.fire("listed", {"count": 1}).scheduled == ("next#0",)


def test_a_replay_has_what_was_counted_and_replaces_only_the_rest(configured, tasks, runner):
    ran = []

    @trigger_task
    def decide(context):
        ran.append(context.firings)
        if len(ran) == 1:
            raise RuntimeError("once")
        return {}

    tasks["app.decide"] = decide
    manager = configured("go", {"each": "photo", "times": 2})
    photos(manager, 1, 2)
    manager.fire("go")
    runner.work()
    photos(manager, 3)

    with pytest.raises(InvalidKwargs, match="'photo', which it counts"):
        manager.replay_failed_instance("decide#0", {"photo": {"n": 4}})
    manager.replay_failed_instance("decide#0", {"go": {"n": 4}})
    runner.work()

    assert ran == [{"photo": [{"n": 1}, {"n": 2}]}] * 2


def test_a_replay_that_is_the_first_to_count_has_what_was_taken_once(
    configured, seen, tasks, runner
):
    works = tasks["app.decide"]
    tasks["app.decide"] = trigger_task(lambda context: 1 / 0)
    manager = configured("photo")
    photos(manager, 1)
    runner.work()

    tasks["app.decide"] = works
    manager.update_configuration({"decide": task({"each": "photo", "times": 1})})
    manager.replay_failed_instance("decide#0")
    runner.work()

    assert seen == [({"photo": {"n": 1}}, {"photo": [{"n": 1}]}, {"photo"})]


def test_several_tasks_may_count_one_trigger_each_by_its_own_number(manager):
    manager.update_configuration(
        {name: task({"each": "photo", "times": times}) for name, times in [("a", 1), ("b", 3)]}
    )

    outcomes = photos(manager, 1, 2, 3)

    assert [outcome.scheduled for outcome in outcomes] == [("a#0",), (), ("b#0",)]


def test_an_event_that_is_repeated_is_counted_once(configured):
    manager = configured({"each": "photo", "times": 2})

    for _ in range(3):
        manager.fire("photo", {"n": 1}, event_id="p-1")
    assert manager.instance("decide#0").counts == {"photo": 1}
    assert manager.fire("photo", {"n": 2}, event_id="p-2").scheduled == ("decide#0",)


def test_a_trigger_that_nobody_counts_is_not_logged(configured, storage):
    manager = configured({"any": ["a", "b"]}, "c")

    manager.fire_many([("a",), ("a",), ("b",), ("unheard",)])

    with storage.read("s") as reader:
        assert {name: reader.firings(name, 9) for name in "ab"} == {"a": [], "b": []}


def test_a_malformed_entry_leaves_the_session_as_it_was(configured, stored, storage):
    manager = configured("a")
    before = stored(storage)

    with pytest.raises(ConfigurationError, match=r"task 'bad', .*'after', at \[0\].any\[1\]"):
        manager.update_configuration({"good": task("b"), "bad": task({"any": ["a", 3]})})

    assert stored(storage) == before


def test_what_an_earlier_configuration_counted_is_received_still(configured, seen, runner):
    manager = configured("go", {"each": "photo", "times": 2})
    photos(manager, 1, 2)

    manager.update_configuration({"decide": task("go", "photo")}, update_instances=True)
    photos(manager, 3)
    manager.fire("go")
    runner.work()

    [(kwargs, firings, _)] = seen
    assert kwargs["photo"] == {"n": 2}
    assert firings == {"photo": [{"n": 1}, {"n": 2}]}


def test_a_task_that_can_start_another_way_is_not_stranded(manager):
    manager.update_configuration(
        {
            "old": task("go"),
            "either": task({"any": ["old", "go"]}),
            "both": task({"all": ["old", "go"]}),
            "several": task({"each": "old", "times": 2}),
        }
    )

    assert manager.update_configuration({}, retire=["old"]).stranded == ("both", "several")
