"""What a person is told of conditions: by ``why``, ``show``, the graph and lint."""

import re

import pytest

from triggers_core import Configuration, trigger_task
from triggers_core.insight.diagnosis import explain
from triggers_core.insight.graph import graph_of, to_dot, to_mermaid
from triggers_core.insight.lint import lint
from triggers_core.insight.viewing import facts_of
from triggers_core.insight.wording import waits_of

from .test_graph import drawn

AS_LISTED = {"each": "assess", "times": {"from": "listed", "key": "count"}}
EACH_PHOTO = {"andEvery": "photo", "run": "app.assess"}


def task(*after, **directives):
    return {"after": list(after), "run": "app.decide", **directives}


@pytest.fixture
def told(manager):
    """Return a function that gives what ``why`` says of ``decide``, all in lines."""

    def lines(finding, depth=0):
        yield "  " * depth + finding.text
        for because in finding.because:
            yield from lines(because, depth + 1)

    def told(name="decide"):
        found = list(lines(explain(name, facts_of(manager))))
        return [re.sub(r" since .*?\)", " since then", line) for line in found]

    return told


def configure(manager, *after, **directives):
    manager.update_configuration({"decide": task(*after, **directives)})
    return manager


def shown(manager):
    instance = manager.instance("decide#0")
    return str(waits_of(instance, manager.task_config(instance)))


def test_one_of_several(manager, told):
    configure(manager, "order", {"any": ["card", "transfer"]}).fire("order")

    assert "  waits for one of card, transfer" in told()
    assert shown(manager) == "one of card, transfer"


def test_so_many_of_several(manager, told):
    configure(manager, {"atLeast": 3, "of": ["a", "b", "c", "d"]}).fire_many([("a",), ("c",)])

    assert "  has 2 of 3 of a, b, c, d" in told()
    assert shown(manager) == "2 of 3 of a, b, c, d"


def test_so_often(manager, told):
    configure(manager, {"each": "photo", "times": 12}).fire_many([("photo",)] * 7)

    assert told()[0] == "decide#0 waits since then; it has taken photo (7 times)"
    assert "  has 7 of 12 photo" in told()


def test_as_often_as_a_trigger_says(manager, told):
    counting = {"each": "photo", "times": {"from": "listed", "key": "count"}}
    configure(manager, counting).fire("photo")

    said = "1 photo (listed has not said how many yet)"
    assert f"  has {said}" in told()
    assert shown(manager) == said
    manager.fire("listed", {"count": 12})
    assert "  has 1 of 12 photo (12 by listed)" in told()


def test_nested_conditions_and_those_of_unless(manager, told):
    inner = {"all": ["b", {"atLeast": 2, "of": ["c", "d", "e"]}]}
    configure(manager, {"any": ["a", inner]}, "z", unless=[{"any": ["x", "y"]}, "w"])
    manager.fire("c")

    assert told()[1:3] == [
        "  waits for 'z', which has not fired",
        "  waits for one of a, (b and (2 of c, d, e))",
    ]
    assert shown(manager) == "(one of a, (b and (2 of c, d, e))), z; unless (one of x, y), w"


def test_all_within_tells_only_what_is_missing(manager, told):
    configure(manager, {"all": ["a", "b", {"any": ["c", "d"]}]}).fire("a")

    assert "  waits for b and (one of c, d)" in told()


def test_what_was_abandoned_by_a_condition_says_by_which(manager, told):
    configure(manager, "paid", unless=[{"each": "refused", "times": 2}]).fire_many(
        [("refused",), ("refused",)]
    )

    assert told()[0].endswith("2 refused fired first, and it never runs")


def test_a_task_that_has_not_begun_says_its_conditions_whole(manager, told):
    configure(manager, "a", {"any": ["b", "c"]}, {"each": "d", "times": {"from": "e", "key": "n"}})

    assert told()[1:] == [
        "  waits for 'a', which has not fired",
        "  waits for one of b, c",
        "  waits for as many d as e says by 'n'",
    ]


def test_why_goes_on_to_the_tasks_whose_ends_are_counted(manager, told, tasks, runner):
    @trigger_task
    def assess(context):
        if context.trigger_kwargs["photo"]["n"] == 1:
            raise ValueError("blurred")
        return {}

    tasks["app.assess"] = assess
    manager.update_configuration({"assess": EACH_PHOTO, "decide": task(AS_LISTED)})
    manager.fire_many([("listed", {"count": 3}), *(("photo", {"n": n}) for n in range(3))])
    for _ in range(3):
        runner.work_once()

    lines = told()
    assert "  has 2 of 3 assess (3 by listed)" in lines
    assert any(
        line.startswith("    assess has 3 instances: 2 finished, 1 failed") for line in lines
    )
    assert any("blurred" in line for line in lines)


def test_why_names_what_looks_misspelt_within_a_condition(manager, told):
    configure(manager, "order", {"any": ["card_paid", "transfer"]})
    manager.fire_many([("order",), ("card_payd",)])

    assert any("'card_paid' has not fired; 'card_payd' has" in line for line in told())


def test_the_graph_has_a_joint_for_each_condition():
    configuration = Configuration.parse(
        {
            "assess": EACH_PHOTO,
            "decide": task({"any": ["a", {"atLeast": 1, "of": ["b", "c"]}]}, AS_LISTED),
            "tell": task("decide", unless=[{"all": ["a", "b"]}, {"each": "c", "times": 2}]),
        }
    )

    graph = graph_of(configuration)

    joints = {node.name: node.joint for node in graph.nodes if node.joint}
    assert sorted(joints.values()) == ["1 of 2", "2 ×", "all", "any", "count ×"]
    labels = {node.name: node.joint or node.name for node in graph.nodes}
    edges = {(labels[each.source], each.kind, labels[each.task]) for each in graph.edges}
    assert edges == {
        ("photo", "andEvery", "assess"),
        ("a", "after", "any"),
        ("b", "after", "1 of 2"),
        ("c", "after", "1 of 2"),
        ("1 of 2", "after", "any"),
        ("any", "after", "decide"),
        ("assess", "after", "count ×"),
        ("listed", "times", "count ×"),
        ("count ×", "after", "decide"),
        ("decide", "after", "tell"),
        ("a", "after", "all"),
        ("b", "after", "all"),
        ("all", "unless", "tell"),
        ("c", "after", "2 ×"),
        ("2 ×", "unless", "tell"),
    }
    assert '(("any"))' in to_mermaid(configuration)
    assert "-.->|times|" in to_mermaid(configuration)
    node_labels, edge_count = drawn(to_dot(configuration))
    assert ["any"] in node_labels
    assert len(node_labels) == len(graph.nodes)
    assert edge_count == len(graph.edges)


def lint_of(**tasks):
    return lint(Configuration.parse(tasks))


def test_lint_finds_more_asked_for_than_there_are():
    (warning,) = lint_of(decide=task("a", {"any": ["b", {"atLeast": 3, "of": ["c", "d"]}]}))

    assert warning == ("task 'decide': 3 of c, d can never hold: 'atLeast' asks for 3 of 2")


def test_lint_finds_a_count_of_ends_that_come_once():
    (warning,) = lint_of(assess={**EACH_PHOTO, "andEvery": None, "after": ["photo"]},
                         decide=task(AS_LISTED))  # fmt: skip

    assert warning.startswith("task 'decide' counts the ends of 'assess', which has no 'andEvery'")
    assert lint_of(assess=EACH_PHOTO, decide=task(AS_LISTED)) == []


def test_lint_finds_alternatives_that_can_all_never_start():
    stuck = {"a": task("b"), "b": task("a")}

    (_, *unreachable) = lint_of(**stuck, decide=task({"any": ["a", "b"]}))
    assert unreachable[-1].startswith("task 'decide' can never start: it waits for the end of a, b")
    (_, *reachable) = lint_of(**stuck, decide=task({"any": ["a", "b", "c"]}))
    assert not any("'decide'" in warning for warning in reachable)


def test_lint_finds_a_number_that_only_what_can_never_start_would_bring():
    stuck = {"a": task("b"), "b": task("a")}
    counting = {"each": "x", "times": {"from": "a", "key": "n"}}

    assert "task 'decide' can never start" in lint_of(**stuck, decide=task(counting))[-1]


def test_lint_finds_what_is_abandoned_whenever_it_could_run():
    (warning,) = lint_of(
        decide=task({"all": ["a", "b"]}, {"each": "c", "times": 3},
                    unless=[{"any": ["b", "x"]}, {"each": "c", "times": 2}])
    )  # fmt: skip

    assert "(one of b, x, 2 c), and it is abandoned" in warning
    assert lint_of(decide=task({"any": ["a", "b"]}, unless=["b"])) == []


def test_lint_finds_a_number_that_is_to_come_from_a_trigger_which_looks_misspelt():
    counting = {"each": "photo", "times": {"from": "photo_listed", "key": "count"}}

    (warning,) = lint_of(decide=task("photos_listed", counting))
    assert "'photo_listed', which is to say how often, is awaited nowhere else" in warning
    assert "did you mean the trigger 'photos_listed'?" in warning
    (warning,) = lint_of(decide=task(counting), tell=task("photos_listed"))
    assert "did you mean the trigger 'photos_listed'?" in warning
    assert lint_of(decide=task("photo_listed", counting)) == []
