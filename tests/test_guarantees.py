"""Each guarantee in the guide names the tests that show it, and they exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
STATED = re.findall(r"\*\*(G\d+)\*\*", TEXT)
ROWS = dict(re.findall(r"^\| (G\d+) \| (.+) \|$", TEXT, re.MULTILINE))


def functions_in(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_guarantees_are_numbered_and_each_names_tests():
    assert [f"G{number}" for number in range(1, len(STATED) + 1)] == STATED == list(ROWS)


def test_each_test_that_is_named_exists():
    named = [entry.split("::") for row in ROWS.values() for entry in re.findall("`([^`]+)`", row)]
    missing = [f"{path}::{test}" for path, test in named if test not in functions_in(path)]

    assert len(named) >= len(ROWS)
    assert missing == []
