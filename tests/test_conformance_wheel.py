"""triggers-conformance, installed from its wheel, checks a runner or a storage in each of its ways.

The third way, a subclass in the author's own tests, is that of ``test_custom_runner.py``.
"""

import json
import re
import subprocess
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree

GUIDE = Path(__file__).parents[1] / "docs" / "runners.md"
FAULTY = dedent(
    """
    from triggers_conformance.runner import RunnerConformance
    from triggers_custom_runner import CustomRunner

    class Faulty(CustomRunner):
        capabilities = frozenset({"jion"})

    class FaultyConformance(RunnerConformance):
        runner_name = "custom_runner"
        runner_class = Faulty
    """
)


def test_pytest_runs_the_checks_of_a_runner_by_its_name(author, tmp_path):
    ran = author.run(
        "pytest", "-rs", "--pyargs", "triggers_conformance", "--runner", "custom_runner",
        folder=tmp_path,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout
    (told,) = re.findall(r"^contract of .*$", ran.stdout, re.MULTILINE)
    counts = r"\d+ kept, 0 broken, \d+ not offered, 1 not checked"
    assert re.fullmatch(rf"contract of custom_runner: {counts}", told)
    assert told in GUIDE.read_text(encoding="utf-8")
    assert "not offered: the runner does not declare the capability 'join'" in ran.stdout


def test_pytest_says_what_to_choose(author, tmp_path):
    ran = author.run("pytest", "--pyargs", "triggers_conformance", folder=tmp_path)

    assert ran.returncode != 0
    assert "say what to check: --runner NAME, or --storage NAME_OR_URL" in ran.stdout


def test_the_command_writes_json_and_junit(author, tmp_path):
    ran = author.run(
        "triggers-conformance", "custom_runner", "--json", "--junit", "junit.xml", folder=tmp_path
    )

    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert (report["runner"], report["conforms"]) == ("custom_runner", True)
    found = {check["number"]: check["found"] for check in report["checks"]}
    assert (found["R2"], found["C1"]) == ("kept", "not offered")
    cases = ElementTree.parse(tmp_path / "junit.xml").findall(".//testcase")
    assert len(cases) == len(found)
    skipped = sum(case.find("skipped") is not None for case in cases)
    assert skipped == sum(word.startswith("not ") for word in found.values())
    assert report["verdict"] == "conforms; R20 (refused work is an error) not checked"


def test_the_command_shows_a_table_and_ends_with_1_where_a_rule_is_broken(author, tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY)

    ran = author.run(
        "triggers-conformance", "custom_runner", "--harness", "faulty:FaultyConformance",
        folder=tmp_path,
    )  # fmt: skip

    assert ran.returncode == 1
    rows = [[cell.strip() for cell in row.split("│")] for row in ran.stdout.splitlines()]
    found = {row[1]: row[3] for row in rows if len(row) == 5 and row[1]}
    assert (found["R2"], found["G5"], found["C1"]) == ("kept", "broken", "not offered")
    assert "G5 is broken by the task runner 'custom_runner'" in ran.stdout
    assert "the runner    declares 'jion', unknown here" in ran.stdout
    assert "read          docs/runners.md#g5" in ran.stdout
    counts, verdict = ran.stdout.splitlines()[-2:]
    assert re.fullmatch(r"\d+ kept, 1 broken, \d+ not offered, \d+ not checked", counts)
    assert verdict.startswith("custom_runner: does not conform; ")


def test_the_command_ends_with_2_where_there_is_nothing_to_check(author, tmp_path):
    ran = author.run("triggers-conformance", "no-such-runner", folder=tmp_path)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "no distribution has the entry point 'no-such-runner'" in ran.stderr
    assert "(installed: custom_runner)" in ran.stderr


def test_the_command_checks_a_storage(author, tmp_path):
    ran = author.run("triggers-conformance", "storage", "memory", "--json", folder=tmp_path)

    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert (report["storage"], report["conforms"]) == ("memory", True)
    assert {"S1", "S65"} <= {check["number"] for check in report["checks"]}


def test_pytest_runs_the_checks_of_a_storage_by_its_url(author, tmp_path):
    ran = author.run(
        "pytest", "--pyargs", "triggers_conformance", "-k", "s01 or s02 or s03",
        "--storage", "sqlite:///{folder}/{unique}.db", folder=tmp_path,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout
    assert "3 kept, 0 broken, 0 not offered, 0 not checked" in ran.stdout


def test_the_command_writes_markdown_with_a_badge(author, tmp_path):
    ran = author.run("triggers-conformance", "custom_runner", "--markdown", folder=tmp_path)

    assert ran.returncode == 0, ran.stderr
    badge, _, verdict, *_ = ran.stdout.splitlines()
    assert badge.startswith("![triggers-conformance: conforms](https://img.shields.io/badge/")
    assert verdict.startswith("The runner `custom_runner` conforms; R20 (refused work is an error)")
    assert (
        "\n| R2 | Every instance handed to `run` is executed, and once only. | kept |\n"
        in ran.stdout
    )


def test_a_url_by_which_all_checks_would_share_a_storage_is_refused(author, tmp_path):
    ran = author.run(
        "triggers-conformance", "storage", "sqlite:///store.db", "--json", folder=tmp_path
    )

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "each check needs an empty storage of its own" in ran.stderr
    assert "{folder}" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_its_extra_the_command_writes_json_alone(make_environment, tmp_path):
    python = make_environment(tmp_path / "environment", "triggers-conformance")
    command = [python.with_name("triggers-conformance"), "storage", "memory"]

    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.returncode == 1
    assert "pip install 'triggers-conformance[cli]'" in ran.stderr
