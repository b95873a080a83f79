"""The demo, run as its reader runs it: in whatever order the form comes in, the steps are done."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "examples" / "questionnaire" / "demo.py"
DEADLINE = 60


def run_demo(seed, folder):
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(DEMO), str(seed)],
        cwd=folder,
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={"PYTHONUTF8": "1", "COLUMNS": "120"},
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def final_table(output):
    """Return step → (status, what it took, result)."""
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in output.splitlines()
        if line.startswith("│")
    ]
    return {step: (status.split()[-1], took, result) for step, status, took, result in cells}


@pytest.mark.parametrize(("seed", "reminder"), [(7, "abandoned"), (8, "finished")])
def test_the_demo_does_every_step_once(tmp_path, seed, reminder):
    output = run_demo(seed, tmp_path)
    events = re.search(rf"seed {seed}: (.*)", output)[1].split(", ")
    table = final_table(output)

    assert sorted(events) == sorted(
        ["person", "boat", "berth", "photo", "photo", "photo", "evening", "signature"]
    )
    assert table.keys() == {f"assess#{n}" for n in range(3)} | {"quote#0", "policy#0", "remind#0"}
    assert table["quote#0"][::2] == ("finished", "euros a year 321")
    assert table["policy#0"][::2] == ("finished", "insured for € 321 a year")
    assert {table[f"assess#{n}"][2] for n in range(3)} == {
        "verdict the hull is sound",
        "verdict the stove is sound",
        "verdict the cat is asleep",
    }

    complete = {"person", "boat", "berth"} <= set(events[: events.index("evening")])
    assert reminder == ("abandoned" if complete else "finished")
    assert table["remind#0"][0] == reminder


def test_each_step_is_told_as_it_happens(tmp_path):
    output = run_demo(7, tmp_path)
    told = [line for line in output.splitlines() if re.match(r" *\d+\.\d\d s  ", line)]

    quote = [line.split()[3] + " " + line.split()[4] for line in told if " quote#0 " in line]
    assert [word.rstrip(",") for word in quote] == [
        "quote#0 unstarted",
        "quote#0 scheduled",
        "quote#0 running",
        "quote#0 finished",
    ]
    assert "▶ photo  of the cat" in output
    assert "▶ berth → quote#0, remind#0  harbour Westerdok" in output
    assert not list(tmp_path.iterdir()), "the demo left something behind"
