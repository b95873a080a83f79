"""``make demo``: what a newcomer sees first."""

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "examples" / "questionnaire" / "demo.py"


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_the_questionnaire_ends_alike_in_whichever_order_it_is_answered(tmp_path, seed):
    done = subprocess.run(
        [sys.executable, DEMO, str(seed)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8", "PATH": ""},
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    table = done.stdout.split("how it ended")[1]
    assert "t_quote#0         │ finished" in table
    assert "{'premium': 420}" in table
    assert "{'sent': '420 a year'}" in table
    assert table.count("t_inspect_photo#") == 2
    assert "t_remind#0        │ abandoned" in table
