"""What conditions hold when (C10 to C12), how they are written, and what is wrong with them."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers_core import Configuration, ConfigurationError, InvalidKwargs, TaskConfig
from triggers_core.rules.conditions import (
    Each,
    Group,
    Number,
    Taken,
    all_hold,
    can_hold,
    certain,
    names,
)
from triggers_core.rules.entries import MAX_NESTING, read_entries, written

TRIGGERS = st.sampled_from("abcd")
NUMBERS = st.integers(0, 3)


def parse(**directives):
    return TaskConfig.parse("decide", {"after": ["a"], "run": "app.decide", **directives})


def entries_of(*after):
    return read_entries("decide", "after", list(after))


def lists_of(entries):
    return st.lists(entries, min_size=1, max_size=3, unique_by=json.dumps)


def groups_of(entries):
    of = lists_of(entries)
    return st.one_of(
        st.builds(lambda of: {"any": of}, of),
        st.builds(lambda of: {"all": of}, of),
        st.builds(lambda n, of: {"atLeast": n, "of": of}, st.integers(1, 4), of),
    )


COUNTS = st.builds(
    lambda trigger, times: {"each": trigger, "times": times},
    TRIGGERS,
    NUMBERS | st.builds(lambda trigger: {"from": trigger, "key": "n"}, TRIGGERS),
)
ENTRIES = st.recursive(TRIGGERS | COUNTS, groups_of, max_leaves=8)
FIRED = st.lists(st.tuples(TRIGGERS, NUMBERS), max_size=6)


def naively(entry, fired):
    """Whether an entry, as it is written, holds after these firings of (trigger, n)."""
    if isinstance(entry, str):
        return any(trigger == entry for trigger, _ in fired)
    if "any" in entry:
        return any(naively(each, fired) for each in entry["any"])
    if "all" in entry:
        return all(naively(each, fired) for each in entry["all"])
    if "atLeast" in entry:
        return len([1 for each in entry["of"] if naively(each, fired)]) >= entry["atLeast"]
    times = entry["times"]
    if isinstance(times, dict):
        said = [n for trigger, n in fired if trigger == times["from"]]
        if not said:
            return False
        times = said[-1]
    return len([1 for trigger, _ in fired if trigger == entry["each"]]) >= times


def taken_after(fired):
    kwargs = {trigger: {"n": n} for trigger, n in fired}
    return Taken(kwargs, {name: [t for t, _ in fired].count(name) for name in kwargs})


@given(lists_of(ENTRIES), FIRED)
@settings(max_examples=1_000, deadline=None)
def test_c10_c11_c12_a_list_holds_when_each_of_its_entries_does(listed, fired):
    entries = entries_of(*listed)

    assert all_hold(entries, taken_after(fired)) == all(naively(each, fired) for each in listed)


@given(ENTRIES, FIRED)
@settings(max_examples=1_000, deadline=None)
def test_an_entry_that_holds_needs_what_is_certain_and_could_hold_with_what_fired(entry, fired):
    (parsed,) = entries_of(entry)
    fired_names = {trigger for trigger, _ in fired}

    if naively(entry, fired):
        assert certain(parsed) <= fired_names
        assert can_hold(parsed, fired_names.__contains__)


@given(lists_of(ENTRIES))
@settings(deadline=None)
def test_what_is_written_is_what_is_read(listed):
    before = copy.deepcopy(listed)
    entries = entries_of(*listed)

    assert [written(entry) for entry in entries] == listed == before
    assert entries_of(*json.loads(json.dumps(listed))) == entries


def test_a_configuration_with_conditions_is_read_as_it_was_written():
    directives = {
        "after": ["a", {"any": ["b", {"all": ["c", {"each": "d", "times": 2}]}]}],
        "run": "app.decide",
        "unless": [{"atLeast": 2, "of": ["e", "f", "g"]}],
    }
    configuration = Configuration.parse({"decide": directives})

    read = Configuration.from_json(configuration.to_json())

    assert read == configuration
    assert read.digest == configuration.digest
    assert read["decide"].to_directives() == directives
    assert read["decide"].triggers == set("abcdefg")
    assert read["decide"].awaited == set("abcd")
    assert read["decide"].counted == read.counted == {"d"}
    assert not read["decide"].is_plain


def test_the_forms_that_an_entry_may_have():
    number = {"from": "listed", "key": "count"}
    listed = [
        "a",
        {"any": ["a", "b"]},
        {"all": ["a", "b"]},
        {"atLeast": 2, "of": ["a", "b", "c"]},
        {"each": "photo", "times": 12},
        {"each": "photo", "times": number},
    ]

    assert entries_of(*listed) == (
        "a",
        Group("any", 1, ("a", "b")),
        Group("all", 2, ("a", "b")),
        Group("atLeast", 2, ("a", "b", "c")),
        Each("photo", 12),
        Each("photo", Number("listed", "count")),
    )
    assert set(names(entries_of(*listed))) == {"a", "b", "c", "photo", "listed"}


def test_a_list_of_names_is_plain_and_counts_nothing():
    task = parse(after=["a", "b"], unless=["c"], andEvery="d")

    assert task.is_plain
    assert task.counted == frozenset()
    assert task.numbers == ()


def test_sets_and_tuples_are_lists_too():
    (entry,) = entries_of({"any": {"b", "a"}})

    assert entry == Group("any", 1, ("a", "b"))
    assert read_entries("t", "after", ({"all": ("a",)},)) == (Group("all", 1, ("a",)),)


def test_c12_a_number_that_may_be_fired_is_an_int_of_0_or_more():
    task = parse(after=[{"each": "a", "times": {"from": "listed", "key": "count"}}])

    for count in (0, 1, 2**70):
        task.check_numbers("listed", {"count": count})
    task.check_numbers("another", {})
    for count in (-1, True, 1.0, "1", None, [1]):
        with pytest.raises(InvalidKwargs, match="'listed'.*'count'.*'decide'.*int of 0 or more"):
            task.check_numbers("listed", {"count": count})
    with pytest.raises(InvalidKwargs, match="missing"):
        task.check_numbers("listed", {"cuont": 1})


@pytest.mark.parametrize("entry", [{"each": "b", "times": 2}, {"any": [{"each": "b", "times": 0}]}])
@pytest.mark.parametrize("directive", ["after", "unless"])
def test_c11_counting_beside_and_every_is_refused_with_the_reason(entry, directive):
    with pytest.raises(ConfigurationError, match=r"'decide', directive 'andEvery'.*each 'b'"):
        parse(**{directive: [entry]}, andEvery="c")


@pytest.mark.parametrize(
    "entry",
    [
        "decide",
        {"all": ["a", "decide"]},
        {"any": ["decide"]},
        {"atLeast": 2, "of": ["a", "decide"]},
        {"each": "decide", "times": 1},
        {"each": "a", "times": {"from": "decide", "key": "n"}},
    ],
)
def test_what_needs_the_end_of_its_own_task_is_refused(entry):
    with pytest.raises(ConfigurationError, match="names the task itself"):
        parse(after=["a", entry])


def test_its_own_end_may_be_one_of_several_ways():
    assert parse(after=[{"any": ["a", "decide"]}]).awaited == {"a", "decide"}


def nested(levels):
    entry = "a"
    for _ in range(levels):
        entry = {"any": [entry]}
    return entry


def test_conditions_nest_as_deep_as_anybody_reads():
    parse(after=[nested(MAX_NESTING)])
    with pytest.raises(ConfigurationError, match=f"nested over {MAX_NESTING} levels"):
        parse(after=[nested(MAX_NESTING + 1)])
    cycle = {"any": ["a"]}
    cycle["any"].append(cycle)
    with pytest.raises(ConfigurationError, match="contains itself"):
        parse(after=[cycle])


MALFORMED = [
    ([3], "at [0]: trigger name: expected a str, not int"),
    ([None], "at [0]: trigger name: expected a str, not NoneType"),
    ([["a"]], "at [0]: trigger name: expected a str, not list"),
    (["a", {}], "at [1]: expected {'any'"),
    ([{"any": ["a"], "all": ["b"]}], "at [0]: expected {'any'"),
    ([{"anyOf": ["a"]}], "did you mean 'any'?"),
    ([{"atleast": 2, "of": ["a"]}], "did you mean 'atLeast'?"),
    ([{"any": "a"}], "at [0].any: expected a list of trigger names, not the bare string 'a'"),
    ([{"any": []}], "at [0].any: expected at least one entry"),
    ([{"all": ["a", 3]}], "at [0].all[1]: trigger name: expected a str"),
    ([{"any": ["a", {"all": ["b", {"any": [""]}]}]}], "at [0].any[1].all[1].any[0]: trigger name"),
    ([{"any": ["a", "a"]}], "at [0].any: 'a' is listed twice"),
    ([{"any": ["a"]}, {"any": ["a"]}], "is listed twice"),
    ([{"atLeast": 0, "of": ["a"]}], "at [0].atLeast: expected an int of 1 or more, not 0"),
    ([{"atLeast": True, "of": ["a"]}], "at [0].atLeast: expected an int"),
    ([{"atLeast": 2}], "at [0]: expected {'any'"),
    ([{"each": "a"}], "at [0]: expected {'any'"),
    ([{"each": 3, "times": 1}], "at [0].each: trigger name: expected a str"),
    ([{"each": "a", "times": -1}], "at [0].times: expected an int of 0 or more"),
    ([{"each": "a", "times": "2"}], "at [0].times: expected an int of 0 or more"),
    ([{"each": "a", "times": {"from": "b"}}], "at [0].times: expected an int of 0 or more, or"),
    ([{"each": "a", "times": {"from": "", "key": "n"}}], "at [0].times.from: trigger name"),
    ([{"each": "a", "times": {"from": "b", "key": 1}}], "at [0].times.key: expected the name"),
    ({"any": ["a"]}, "expected a list of trigger names, not {'any': ['a']}"),
]


@pytest.mark.parametrize(("value", "said"), MALFORMED)
@pytest.mark.parametrize("directive", ["after", "unless"])
def test_an_error_names_the_task_the_directive_the_path_and_what_was_expected(
    value, said, directive
):
    with pytest.raises(ConfigurationError) as caught:
        parse(**{directive: value})

    assert str(caught.value).startswith(f"task 'decide', directive '{directive}'")
    assert said in str(caught.value)


JUNK = st.sampled_from(
    [
        None, True, 3, -1, 2.5, "", " a", "a\n", [], ["a"], {}, {"any": []}, {"all": None},
        {"any": "a"}, {"every": ["a"]}, {"any": ["a"], "all": ["a"]}, {"atLeast": 1},
        {"atLeast": 1.0, "of": ["a"]}, {"atLeast": 0, "of": ["a"]}, {"atLeast": False, "of": ["a"]},
        {"of": ["a"]}, {"each": "a"}, {"times": 1}, {"each": ["a"], "times": 1},
        {"each": "a", "times": -1}, {"each": "a", "times": True}, {"each": "a", "times": None},
        {"each": "a", "times": {"from": "b", "key": None}}, {"each": "a", "times": {"key": "n"}},
        {"each": "a", "times": {"from": ["b"], "key": "n"}}, {"any": ["b", "b"]}, {1: 2}, {"a": 1},
        {"any": [{"all": [{"any": [{}]}]}]}, {"each": "a", "times": 1, "of": ["b"]}, b"a",
    ]
)  # fmt: skip
STEPS = st.lists(st.sampled_from(["any", "all", "of"]), max_size=4)
AT_ONCE = 10


@given(
    st.lists(
        st.tuples(st.lists(TRIGGERS, max_size=2, unique=True), JUNK, STEPS),
        min_size=AT_ONCE,
        max_size=AT_ONCE,
    ),
    st.sampled_from(["after", "unless"]),
)
@settings(max_examples=1_000, deadline=None)
def test_ten_thousand_malformed_configurations_are_each_one_error_at_its_path(made, directive):
    for beside, junk, steps in made:
        entries, path = [*beside, junk], f"[{len(beside)}]"
        for step in steps:
            wrapped = {step: entries, **({"atLeast": 1} if step == "of" else {})}
            entries, path = ["z", wrapped], f"[1].{step}{path}"
        good = {"after": ["a"], "run": "app.good"}
        with pytest.raises(ConfigurationError) as caught:
            Configuration.parse({"good": good, "bad": {**good, directive: entries}})
        assert str(caught.value).startswith(f"task 'bad', directive '{directive}', at {path}")
