"""A configuration as a picture, and ``triggers check``: what it looks like, what looks wrong."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from triggers_core import (
    BaseTaskRunner,
    Configuration,
    Plugins,
    Status,
    TaskInstance,
    hookimpl,
)
from triggers_core.cli import commands
from triggers_core.insight.graph import COLOURS, FIRED_COLOUR, to_dot, to_mermaid
from triggers_core.insight.lint import lint

CONFIGURATION = Configuration.parse(
    {
        "t_close": {"after": ["applied", "fee_paid"], "unless": ["withdrawn"], "run": "x"},
        "t_advise": {"after": ["t_close"], "andEvery": "neighbour", "run": "x"},
    }
)
GRAPHVIZ = Path(sys.executable).with_name("graphviz-pure")
HOSTILE = 'a "quoted" \\ <b> & #1; `x` [y] {z} (w) | ü'


def instance(status, number=0, task_name="t_close"):
    return TaskInstance(
        session_uid="s",
        task_name=task_name,
        number=number,
        config_digest="",
        status=status,
        created_at=0.0,
        changed_at=0.0,
    )


def drawn(dot_text):
    """Draw with Graphviz; return the labels of the nodes and the number of edges."""
    done = subprocess.run(
        [GRAPHVIZ, "-Tsvg"], input=dot_text, capture_output=True, text=True, check=True
    )
    groups = ElementTree.fromstring(done.stdout).iter("{http://www.w3.org/2000/svg}g")
    by_class = [(group.get("class"), group) for group in groups]
    labels = [
        [text.text for text in group.iter("{http://www.w3.org/2000/svg}text")]
        for name, group in by_class
        if name == "node"
    ]
    return labels, [name for name, _ in by_class].count("edge")


def test_mermaid():
    assert to_mermaid(CONFIGURATION) == (
        "flowchart LR\n"
        '    n0("applied")\n'
        '    n1("fee_paid")\n'
        '    n2("withdrawn")\n'
        '    n3["t_close"]\n'
        '    n4("neighbour")\n'
        '    n5["t_advise"]\n'
        "    n0 --> n3\n"
        "    n1 --> n3\n"
        "    n2 -.->|unless| n3\n"
        "    n3 --> n5\n"
        "    n4 ==>|every| n5\n"
    )


def test_dot_has_the_same_nodes_and_edges():
    labels, edges = drawn(to_dot(CONFIGURATION))

    assert sorted(labels) == [
        ["applied"], ["fee_paid"], ["neighbour"], ["t_advise"], ["t_close"], ["withdrawn"]
    ]  # fmt: skip
    assert edges == 5


def test_a_session_has_its_counts_and_its_fired_triggers():
    instances = [instance(Status.FINISHED), instance(Status.FAILED, 1), instance(Status.FAILED, 2)]

    mermaid = to_mermaid(CONFIGURATION, instances, fired={"applied"})
    labels, _ = drawn(to_dot(CONFIGURATION, instances, fired={"applied"}))

    assert 'n3["t_close<br/>1 finished, 2 failed"]' in mermaid
    assert f"style n0 fill:{FIRED_COLOUR}," in mermaid
    assert "style n1" not in mermaid
    assert ["t_close", "1 finished, 2 failed"] in labels


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([Status.FAILED, Status.FINISHED], Status.FAILED),
        ([Status.RUNNING, Status.SCHEDULED], Status.RUNNING),
        ([Status.FINISHED, Status.SCHEDULED, Status.UNSTARTED], Status.SCHEDULED),
        ([Status.UNSTARTED, Status.ABANDONED], Status.UNSTARTED),
        ([Status.REPLAYED, Status.FINISHED], Status.FINISHED),
        ([Status.FINISHED, Status.SKIPPED], Status.SKIPPED),
    ],
)
def test_a_task_has_the_colour_of_what_most_needs_attention(statuses, expected):
    instances = [instance(status, number) for number, status in enumerate(statuses)]

    assert f"style n3 fill:{COLOURS[expected]}," in to_mermaid(CONFIGURATION, instances)
    assert f'fillcolor="{COLOURS[expected]}"' in to_dot(CONFIGURATION, instances)


def test_every_status_has_a_colour_of_its_own():
    assert len({COLOURS[status] for status in Status} | {FIRED_COLOUR}) == len(Status) + 1


def test_no_name_breaks_the_picture():
    configuration = Configuration.parse({"t_a": {"after": [HOSTILE], "run": "x"}})

    labels, edges = drawn(to_dot(configuration))
    mermaid = to_mermaid(configuration).splitlines()[1]

    assert labels == [[HOSTILE], ["t_a"]]
    assert edges == 1
    assert mermaid == (
        '    n0("a #34;quoted#34; #92; #60;b#62; #38; #35;1#59; #96;x#96; [y] {z} (w) | ü")'
    )


WARNINGS = {
    "a cycle": (
        {
            "t_a": {"after": ["go"], "andEvery": "t_b", "run": "x"},
            "t_b": {"after": ["t_a"], "run": "x"},
        },
        "cascade cycle: t_a → t_b → t_a",
    ),
    "unreachable in a ring": (
        {"t_a": {"after": ["t_b"], "run": "x"}, "t_b": {"after": ["t_a"], "run": "x"}},
        "task 't_a' can never start: it waits for the end of t_b",
    ),
    "unreachable by itself": (
        {"t_a": {"after": ["go"], "andEvery": "t_a", "run": "x"}},
        "task 't_a' can never start: it waits for the end of t_a",
    ),
    "unreachable behind a ring": (
        {
            "t_a": {"after": ["t_b"], "run": "x"},
            "t_b": {"after": ["t_a"], "run": "x"},
            "t_c": {"after": ["go", "t_b"], "run": "x"},
        },
        "task 't_c' can never start: it waits for the end of t_b",
    ),
    "always abandoned": (
        {"t_a": {"after": ["go", "on"], "unless": ["on"], "run": "x"}},
        "task 't_a' can never run: once its triggers have fired, so have all of its 'unless' (on)",
    ),
    "two letters swapped": (
        {"t_close": {"after": ["go"], "run": "x"}, "t_a": {"after": ["t_clsoe"], "run": "x"}},
        "task 't_a': did you mean the task 't_close' by 't_clsoe'?",
    ),
    "a letter missing": (
        {"t_close": {"after": ["go"], "run": "x"}, "t_a": {"after": ["t_clos"], "run": "x"}},
        "task 't_a': did you mean the task 't_close' by 't_clos'?",
    ),
    "an unknown runner": (
        {"t_a": {"after": ["go"], "run": "x", "using": "held"}},
        "task 't_a': no task runner 'held' is installed here (installed: threading); "
        "install the distribution that registers it",
    ),
    "a misspelt runner": (
        {"t_a": {"after": ["go"], "run": "x", "using": "thraeding"}},
        "task 't_a': no task runner 'thraeding' is installed here (installed: threading); "
        "did you mean 'threading'?",
    ),
    "no default runner": (
        {"t_a": {"after": ["go"], "run": "x"}},
        "task 't_a': no task runner 'celery', the default, is installed here "
        "(installed: threading); pip install triggers-celery",
    ),
}


@pytest.mark.parametrize("fault", WARNINGS)
def test_c9_what_looks_like_a_mistake_is_warned_of(fault):
    directives, warning = WARNINGS[fault]

    found = lint(
        Configuration.parse(directives), known_runners=["threading"], default_runner="celery"
    )

    assert [line for line in found if line.startswith(warning)], found


@pytest.mark.parametrize(
    "directives",
    [
        {"t_a": {"after": ["go"], "unless": ["stop", "go"], "run": "x"}},
        {"t_photo_1": {"after": ["go"], "run": "x"}, "t_b": {"after": ["t_photo_2"], "run": "x"}},
        {"t_close": {"after": ["close"], "run": "x"}, "t_b": {"after": ["t_close"], "run": "x"}},
    ],
    ids=["unless as well", "numbered", "named after a trigger"],
)
def test_what_is_meant_so_is_not_warned_of(directives):
    assert lint(Configuration.parse(directives)) == []


class Threading(BaseTaskRunner):
    name = "threading"

    def run(self, manager, task_instance):
        raise AssertionError("nothing runs here")


@pytest.fixture
def only_threading():
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(Threading())
    return commands.build(plugins)


def test_check_prints_the_warnings_and_exits_with_1(tmp_path, only_threading):
    file = tmp_path / "permits.json"
    for directives, warning in WARNINGS.values():
        file.write_text(json.dumps(directives))

        checked = CliRunner().invoke(only_threading, ["check", str(file)])

        assert checked.exit_code == 1
        assert f"warning: {warning}" in checked.output


def test_check_asks_for_no_default_runner_where_a_plugin_chooses(tmp_path):
    class Chooser:
        @hookimpl
        def triggers_select_runner(self):
            return "held"

    file = tmp_path / "permits.json"
    file.write_text('{"t_a": {"after": ["go"], "run": "x"}}')
    plugins = Plugins(load_entry_points=False)
    plugins.register(Chooser())

    checked = CliRunner().invoke(commands.build(plugins), ["check", str(file)])

    assert checked.exit_code == 0


@pytest.mark.parametrize(
    ("text", "exit_code", "says"),
    [
        (
            '{"t_a": {"after": ["go"], "run": "x", "using": "threading"}}',
            0,
            "1 task, nothing to complain of",
        ),
        ('{"t_a": {"afer": ["go"], "run": "x"}}', 1, "did you mean 'after'?"),
        ('{"t_a": {"after": "go", "run": "x"}}', 1, "write ['go']"),
        ('["t_a"]', 1, "must be a mapping"),
        ("{", 2, "permits.json: expected JSON"),
        ("\xff", 2, "permits.json: expected JSON"),
    ],
)
def test_check_says_what_is_wrong(tmp_path, monkeypatch, only_threading, text, exit_code, says):
    monkeypatch.chdir(tmp_path)
    Path("permits.json").write_bytes(text.encode("latin-1"))

    checked = CliRunner().invoke(only_threading, ["check", "permits.json"], env={"COLUMNS": "200"})

    assert (checked.exit_code, checked.exception.__class__) == (
        exit_code,
        SystemExit if exit_code else type(None),
    )
    assert says in checked.output
