"""What a configuration says (C1 to C5, C7), what it keeps, and what lint finds odd in it (C9)."""

import copy
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from triggers_core import Configuration, ConfigurationError, TaskConfig, hookimpl
from triggers_core.insight.lint import lint
from triggers_core.rules.config import NotesUnclaimed
from triggers_core.rules.kwargs import merge_kwargs

MINIMAL = {"after": ["paid"], "run": "shop.ship"}
FULL = {
    "after": ["paid", "packed"],
    "run": "shop.ship",
    "andEvery": "reordered",
    "unless": ["cancelled", "lost"],
    "withParams": {"paid": {"currency": "EUR"}, "carrier": {"name": "post"}},
    "using": "threading",
    "queue": {"name": "slow", "priority": 3},
}


def parse(**directives):
    return TaskConfig.parse("t_ship", {**MINIMAL, **directives})


def test_c1_c2_a_task_needs_no_more_than_after_and_run():
    task = TaskConfig.parse("t_ship", MINIMAL)

    assert (task.name, task.after, task.run) == ("t_ship", ("paid",), "shop.ship")
    assert (task.and_every, task.unless, task.with_params) == (None, (), {})
    assert (task.using, task.extras) == (None, {})
    assert task.awaited == task.triggers == {"paid"}


def test_c1_after_keeps_the_order_in_which_it_is_written():
    assert parse(after=["b", "a", "c"]).after == ("b", "a", "c")
    assert parse(after=("b", "a")).after == ("b", "a")


def test_c1_a_bare_string_is_an_error_that_says_what_to_write():
    with pytest.raises(ConfigurationError, match=r"'t_ship'.*'after'.*write \['paid'\]"):
        parse(after="paid")


def test_c3_and_every_is_one_of_the_awaited():
    task = parse(andEvery="reordered")

    assert task.and_every == "reordered"
    assert task.awaited == {"paid", "reordered"}


def test_c3_and_every_may_stand_in_after_too():
    assert parse(andEvery="paid").awaited == {"paid"}


def test_c4_unless_is_taken_but_not_awaited():
    task = parse(unless=["cancelled"])

    assert task.awaited == {"paid"}
    assert task.triggers == {"paid", "cancelled"}


def test_c7_other_directives_are_kept_as_written():
    task = parse(queue="slow", timeLimit={"soft": 5}, x_note=None)

    assert task.extras == {"queue": "slow", "timeLimit": {"soft": 5}, "x_note": None}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("afer", "after"),
        ("After", "after"),
        ("afters", "after"),
        ("runs", "run"),
        ("RUN", "run"),
        ("andevery", "andEvery"),
        ("and_every", "andEvery"),
        ("and-every", "andEvery"),
        ("unles", "unless"),
        ("Unless", "unless"),
        ("with_params", "withParams"),
        ("withParam", "withParams"),
        ("usng", "using"),
    ],
)
def test_c7_a_typo_of_a_known_directive_is_an_error_with_the_suggestion(written, meant):
    with pytest.raises(ConfigurationError, match=f"{written!r} is unknown; did you mean {meant!r}"):
        parse(**{written: ["x"]})


def test_c7_a_claimed_directive_may_look_like_a_typo_and_is_in_force_wherever_it_is_read(
    make_manager, plugins, runner
):
    class Claims:
        @hookimpl
        def triggers_validate_directive(self, directive):
            return directive == "runAt" or None

    plugins.register(Claims())
    manager = make_manager()

    manager.update_configuration({"t_ship": {**MINIMAL, "runAt": "noon"}})
    manager.fire("paid")

    assert runner.names == ["t_ship#0"]
    assert manager.task_config(manager.instance("t_ship#0")).extras == {"runAt": "noon"}


def test_c7_what_a_plugin_finds_wrong_with_a_directive_is_in_the_error():
    def claims(task_name, directive, value):
        raise ValueError(f"expected a time of day, not {value!r}")

    with pytest.raises(ConfigurationError, match=r"'t_ship', directive 'runAt': expected a time"):
        TaskConfig.parse("t_ship", {**MINIMAL, "runAt": 12}, claims)


@pytest.mark.parametrize("kwargs", [FULL, MINIMAL], ids=["full", "minimal"])
def test_what_is_written_is_what_is_read(kwargs):
    configuration = Configuration.parse({"t_ship": kwargs, "t_bill": MINIMAL})

    read = Configuration.from_json(configuration.to_json())

    assert read == configuration
    assert list(read) == ["t_ship", "t_bill"]
    assert read["t_ship"].to_directives() == kwargs
    assert read.digest == configuration.digest


def test_another_content_has_another_digest():
    digests = {
        Configuration.parse({"t_ship": directives}).digest
        for directives in (MINIMAL, FULL, {**MINIMAL, "unless": ["x"]}, {**MINIMAL, "queue": "x"})
    }

    assert len(digests) == 4


def test_what_the_caller_changes_afterwards_changes_nothing():
    written = copy.deepcopy(FULL)
    task = TaskConfig.parse("t_ship", written)

    written["after"].append("x")
    written["withParams"]["paid"]["currency"] = "USD"
    written["queue"]["name"] = "fast"

    assert task.to_directives() == FULL


def test_with_params_as_deep_as_kwargs_may_be_can_be_kept(manager):
    deep = {}
    for _ in range(63):
        deep = {"k": deep}

    manager.update_configuration({"t_ship": {**MINIMAL, "withParams": {"paid": deep}}})

    assert manager.configuration()["t_ship"].with_params == {"paid": deep}


def test_tasks_are_found_by_every_trigger_that_they_take():
    configuration = Configuration.parse({"t_ship": FULL, "t_bill": MINIMAL})

    assert [task.name for task in configuration.tasks_with("paid")] == ["t_ship", "t_bill"]
    assert [task.name for task in configuration.tasks_with("lost")] == ["t_ship"]
    assert [task.name for task in configuration.tasks_with("reordered")] == ["t_ship"]
    assert configuration.tasks_with("unheard_of") == []


@pytest.mark.parametrize(
    ("defaults", "fired", "merged"),
    [
        ({}, {}, {}),
        ({"a": 1}, {}, {"a": 1}),
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 1}, {"b": 2, "c": 2}, {"a": 1, "b": 2, "c": 2}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": {"b": {"c": 1, "d": 1}}}, {"a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}),
        ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
        ({"a": [1, 2, 3]}, {"a": []}, {"a": []}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": {"x": 1}}, {"a": 0}, {"a": 0}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": [{"x": 1}]}, {"a": [{"y": 2}]}, {"a": [{"y": 2}]}),
    ],
)
def test_c5_the_fired_value_wins_mappings_merge_and_lists_are_replaced(defaults, fired, merged):
    sides = copy.deepcopy((defaults, fired))

    assert merge_kwargs(defaults, fired) == merged
    assert (defaults, fired) == sides


def test_c5_what_is_merged_shares_nothing_with_either_side():
    defaults = {"a": {"list": [{"x": 1}]}, "b": {"x": 1}}
    fired = {"c": {"list": [{"x": 1}]}, "b": {"y": [1]}}
    sides = copy.deepcopy((defaults, fired))

    merged = merge_kwargs(defaults, fired)
    merged["a"]["list"][0]["x"] = merged["c"]["list"][0]["x"] = 2
    merged["b"]["y"].append(2)
    merged["b"]["x"] = 2

    assert (defaults, fired) == sides


def lint_of(**tasks):
    configuration = {name: {"run": "shop.run", **task} for name, task in tasks.items()}
    return lint(Configuration.parse(configuration))


def test_c9_a_task_that_follows_itself_is_a_cycle():
    warnings = lint_of(t_poll={"after": ["start"], "andEvery": "t_poll"})

    assert warnings[0].startswith("cascade cycle: t_poll → t_poll;")


def test_c9_a_cycle_names_its_tasks_in_order():
    warnings = lint_of(
        t_a={"after": ["start"], "andEvery": "t_c"},
        t_b={"after": ["t_a"]},
        t_c={"after": ["t_b"]},
    )

    assert warnings[0].startswith("cascade cycle: t_a → t_b → t_c → t_a;")


def test_c9_a_cycle_is_legal(manager):
    manager.update_configuration({"t_poll": {**MINIMAL, "andEvery": "t_poll"}})

    assert manager.configuration()["t_poll"].and_every == "t_poll"


def test_c9_cycles_apart_are_a_warning_each():
    warnings = lint_of(
        t_a={"after": ["x"], "andEvery": "t_a"},
        t_b={"after": ["x"], "andEvery": "t_b"},
    )

    assert [warning for warning in warnings if warning.startswith("cascade cycle: t_a → t_a")]
    assert [warning for warning in warnings if warning.startswith("cascade cycle: t_b → t_b")]


def test_c9_to_be_abandoned_by_a_cascade_is_not_to_follow_it():
    assert lint_of(t_remind={"after": ["signed_up"], "unless": ["t_done"]}, t_done=MINIMAL) == []
    assert (
        lint_of(
            t_remind={"after": ["signed_up"], "unless": ["t_done"]},
            t_done={"after": ["t_remind"]},
        )
        == []
    )


def test_c9_a_chain_and_a_join_are_no_cycle():
    assert (
        lint_of(
            t_a={"after": ["start"]},
            t_b={"after": ["t_a"]},
            t_c={"after": ["t_a"]},
            t_d={"after": ["t_b", "t_c"]},
        )
        == []
    )


def test_lint_finds_tasks_that_wait_for_each_other():
    (cycle, *unreachable) = lint_of(t_a={"after": ["t_b"]}, t_b={"after": ["t_a"]})

    assert cycle.startswith("cascade cycle: t_a → t_b → t_a;")
    assert [warning.split(":")[0] for warning in unreachable] == [
        "task 't_a' can never start",
        "task 't_b' can never start",
    ]


def test_lint_finds_a_task_that_is_always_abandoned():
    (warning,) = lint_of(t_ship={"after": ["paid", "packed"], "unless": ["paid"]})

    assert "task 't_ship' can never run" in warning


def test_lint_finds_a_trigger_that_looks_like_a_misspelt_task():
    (warning,) = lint_of(t_payment={"after": ["paid"]}, t_ship={"after": ["t_paymnt"]})

    assert warning == "task 't_ship': did you mean the task 't_payment' by 't_paymnt'?"


def test_lint_finds_a_runner_that_is_not_known():
    configuration = Configuration.parse({"t_ship": {**MINIMAL, "using": "carrier_pigeon"}})

    (warning,) = lint(configuration, known_runners=["threading", "celery"])

    assert "no task runner 'carrier_pigeon'" in warning
    assert "(installed: celery, threading)" in warning
    assert lint(configuration, known_runners=["carrier_pigeon"]) == lint(configuration) == []


def test_a_configuration_reads_as_its_tasks():
    assert repr(Configuration.parse({"t_ship": FULL, "t_bill": MINIMAL})) == (
        "Configuration(t_ship, t_bill)"
    )
    assert json.loads(Configuration().to_json()) == {}


def test_lint_complains_of_a_directive_that_nobody_claims():
    validate = NotesUnclaimed(lambda task, directive, value: directive == "queue")
    parsed = Configuration.parse(
        {"t": {**MINIMAL, "queue": 1, "timeout": 3, "x-team": "mail"}}, validate
    )

    warnings = lint(parsed, unclaimed=validate.found)

    assert validate.found == [("t", "timeout")]
    assert warnings == [
        "task 't': nobody here knows the directive 'timeout', which is kept and has no effect; "
        "install the plugin that claims it, or begin its name with 'x-'"
    ]


class TestFormsOfTriggers2:
    """C1, C3, C4, C5: what configurations of triggers 2 may say."""

    @pytest.mark.parametrize("after", [{}, {"after": []}, {"after": None}, {"after": ()}])
    def test_every_time_is_said_by_and_every_alone(self, after):
        task = TaskConfig.parse("t", {**after, "andEvery": "x", "run": "app.t"})

        assert (task.after, task.and_every, task.awaited) == ((), "x", {"x"})

    def test_every_time_means_the_same_however_it_is_said(self):
        said = [{"after": []}, {}, {"after": None}]

        digests = {
            Configuration.parse({"t": {**after, "andEvery": "x", "run": "app.t"}}).digest
            for after in said
        }

        assert len(digests) == 1

    def test_what_is_none_is_as_left_out(self):
        nothing = dict.fromkeys(("unless", "withParams", "andEvery", "using"))

        task = TaskConfig.parse("t", {"after": ["a"], "run": "app.t", **nothing})

        assert task == TaskConfig.parse("t", {"after": ["a"], "run": "app.t"})

    @pytest.mark.parametrize("kind", [tuple, set, frozenset])
    def test_a_list_may_be_a_tuple_or_a_set_whose_order_is_that_of_names(self, kind):
        names = ["a", "b", "c", "d", "e"]

        task = TaskConfig.parse("t", {"after": kind(names), "unless": kind(names), "run": "app.t"})

        assert list(task.after) == list(task.unless) == names

    @given(names=st.sets(st.sampled_from("abcdefgh"), min_size=1), every=st.none() | st.just("x"))
    def test_a_set_and_its_sorted_list_are_one_configuration(self, names, every):
        def digest(after):
            directives = {"after": after, "andEvery": every, "unless": after, "run": "app.t"}
            return Configuration.parse({"t": directives}).digest

        assert digest(names) == digest(sorted(names)) == digest(tuple(sorted(names)))

    @given(
        after=st.lists(st.sampled_from("abc"), unique=True),
        every=st.none() | st.sampled_from("xy"),
        unless=st.none() | st.sets(st.sampled_from("def")),
    )
    def test_what_is_accepted_is_read_back_as_it_was_kept(self, after, every, unless):
        assume(after or every)
        directives = {"after": after, "andEvery": every, "unless": unless, "run": "app.t"}
        configuration = Configuration.parse({"t": directives})

        kept = Configuration.from_json(configuration.to_json())

        assert (kept["t"], kept.digest) == (configuration["t"], configuration.digest)
