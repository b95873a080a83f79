"""The example of a third party's runner keeps its contract, and the guide builds exactly it."""

import ast
import re
from pathlib import Path

import pytest

from triggers_celery import CeleryTaskRunner
from triggers_conformance.rules import rules_of
from triggers_conformance.runner import RunnerConformance
from triggers_conformance.runner.registration import CAPABILITIES
from triggers_threading import ThreadingTaskRunner

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "custom_runner"
PROMISES = (ROOT / "docs" / "capabilities.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "runners.md").read_text(encoding="utf-8")
FILES = {
    path.relative_to(EXAMPLE).as_posix(): path.read_text(encoding="utf-8")
    for path in EXAMPLE.rglob("*")
    if path.suffix in {".py", ".toml"}
}
PROGRAM = """
import threading
from triggers_core import SqliteStorage, TriggerManager, trigger_task

began = threading.Event()


@trigger_task
def ship(context):
    began.set()
    print("shipping", context.trigger_kwargs["packed"]["parcel"])


order = TriggerManager("order 17", storage=SqliteStorage("orders.db"))
order.update_configuration(
    {"ship": {"after": ["paid", "packed"], "run": "__main__.ship", "using": "custom_runner"}}
)
order.fire("packed", {"parcel": "a globe"})
order.fire("paid")
began.wait()
"""


def code_lines(source):
    """Count the lines that hold code: no blank ones, comments or docstrings."""
    return len(ast.unparse(without_docstrings(ast.parse(source))).splitlines())


def without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            node.body.pop(0)
    return tree


def test_installed_from_its_wheel_it_passes_its_own_test(author, tmp_path):
    name = "tests/test_custom_runner.py"
    (tmp_path / "test_custom_runner.py").write_text(FILES[name])

    ran = author.run("pytest", folder=tmp_path)

    assert ran.returncode == 0, ran.stdout
    assert re.search(r"\d+ passed, \d+ skipped in", ran.stdout)


def test_installed_from_its_wheel_it_runs_tasks(author, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)

    ran = author.run("python", "program.py", folder=tmp_path)

    assert (ran.stdout, ran.stderr) == ("shipping a globe\n", "")


def test_it_is_small():
    source = FILES["src/triggers_custom_runner/__init__.py"]
    assert code_lines(source) < 40
    assert len(FILES["tests/test_custom_runner.py"].split("\n\n\n")[1].splitlines()) <= 3


@pytest.mark.parametrize("name", FILES)
def test_the_guide_shows_the_file_as_it_is(name):
    shown = re.search(rf'^```\w+ title="{re.escape(name)}"\n(.*?)^```$', GUIDE, re.M | re.S)

    assert shown is not None, f"the guide shows no {name}"
    assert shown[1] == FILES[name]


def test_the_guide_lists_every_rule_where_a_failure_says():
    wanted = [
        f'| <a id="{rule.number.lower()}"></a>{rule.number} | {rule.demands} | {rule.mend} |'
        for rule in rules_of(RunnerConformance)
    ]
    listed = [line for line in GUIDE.splitlines() if line.startswith('| <a id="')]

    assert listed == wanted, "the table should be:\n" + "\n".join(wanted)


def test_the_guide_says_what_each_capability_promises_and_who_declares_it():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (yes|–) \| (yes|–) \|$", PROMISES, re.M)
    declared = {name: (threads == "yes", celery == "yes") for name, _, threads, celery in rows}

    assert declared == {
        name: (name in ThreadingTaskRunner.capabilities, name in CeleryTaskRunner.capabilities)
        for name in CAPABILITIES
    }
