"""Rule M1 finds what no other rule asks for, makes it short, and tells it as a script."""

import os
import re
import subprocess
import sys
from textwrap import dedent

import pytest

DEADLINE = 300
FAULTY = {
    "a retry counts as a failure": """
        class FaultyRunner(BaseTaskRunner):
            name = "faulty"
            capabilities = frozenset({"inline"})

            def run(self, manager, task_instance):
                execute(manager, task_instance, resolve=self.resolve)

            def resolve(self, manager, task_instance):
                return WithoutRetries(super().resolve(manager, task_instance))


        class WithoutRetries(TriggerTask):
            def __init__(self, task):
                self._task = task

            def run(self, context):
                try:
                    return self._task.run(context)
                except TaskInterruption as interruption:
                    if type(interruption).__name__ == "RetryRequested":
                        raise RuntimeError("not now") from None
                    raise
        """,
    "the second instance of a task that took two triggers is finished without a cascade": """
        class FaultyRunner(BaseTaskRunner):
            name = "faulty"
            capabilities = frozenset({"inline"})

            def run(self, manager, task_instance):
                if task_instance.number and len(task_instance.trigger_kwargs) > 1:
                    execute(manager, task_instance, resolve=lambda *_: Nothing())
                else:
                    execute(manager, task_instance, resolve=self.resolve)


        class Nothing(TriggerTask):
            def run(self, context):
                context.skip()
        """,
}
TEST_MODULE = """
from triggers_conformance.runner import RunnerConformance
from triggers_core import BaseTaskRunner, TaskInterruption, TriggerTask, execute

{runner}

class TestFaultyRunner(RunnerConformance):
    runner_name = "faulty"
    runner_class = FaultyRunner
    examples = 500
"""


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture(params=FAULTY)
def failure(request, tmp_path):
    """What M1 says of a faulty runner, whose test module is in ``tmp_path``."""
    source = TEST_MODULE.format(runner=dedent(FAULTY[request.param]))
    (tmp_path / "test_faulty.py").write_text(source)
    options = ["-p", "no:cacheprovider", "--hypothesis-seed=1", "-k", "test_m1"]
    ran = run(tmp_path, "-m", "pytest", *options)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return ran.stdout


def script_in(failure):
    return re.search(r"This script does it again:\n\n(.*?)\n  how to mend", failure, re.DOTALL)[1]


def test_the_script_of_a_failure_reproduces_it(failure, tmp_path):
    (tmp_path / "script.py").write_text(script_in(failure))

    ran = run(tmp_path, "script.py")

    assert ran.returncode == 1
    assert "brought about another end than the rules" in ran.stderr
    differences = re.findall(r"^ +(?:missing|surplus)  .*", failure, re.MULTILINE)
    assert differences
    assert all(line in ran.stderr for line in differences)


@pytest.mark.parametrize("failure", ["a retry counts as a failure"], indirect=True)
def test_the_script_of_a_failure_is_made_short(failure):
    script = script_in(failure)

    assert "'t0'" in script
    assert "'t1'" not in script
    assert script.count("session.fire(") == 1
