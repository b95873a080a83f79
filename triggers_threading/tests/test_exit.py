"""What the runner accepted is finished before the interpreter exits, and what a fork does to it.

Each test is a real process that ends while work is pending; its store is looked at afterwards.
"""

import os
import subprocess
import sys
from collections import Counter

import pytest

from triggers_core import Plugins, SqliteStorage, TriggerManager

DEADLINE = 60

TASKS = '''
import threading

from triggers_core import trigger_task

started = threading.Event()


@trigger_task
def step(context):
    return {}


@trigger_task
def wait_for_main_to_end(context):
    """From here on, Python 3.12 and later start no thread."""
    started.set()
    threading.main_thread().join()
    return {}


@trigger_task(max_retries=2, cooldown=0.05)
def flaky(context):
    if context.attempt < 3:
        context.retry()
    return {}


@trigger_task
def fail(context):
    raise ValueError("no")
'''

START = """
import sys

import app_tasks
from triggers_core import Plugins, SqliteStorage, TriggerManager
from triggers_threading import ThreadingTaskRunner


class Manager(TriggerManager):
    name = "app"
    default_task_runner_name = "threading"


plugins = Plugins()
runner = ThreadingTaskRunner(max_workers=2)
plugins.use_runner(runner)
manager = Manager("s", storage=SqliteStorage("store.db", synchronous="NORMAL"), plugins=plugins)


def configure(**tasks):
    manager.update_configuration(
        {
            name: {"after": [after], "andEvery": after, "run": f"app_tasks.{run}"}
            for name, (after, run) in tasks.items()
        }
    )
"""


@pytest.fixture
def run_app(tmp_path):
    """Return a function that runs a script as a user would, with every warning an error.

    It returns (exit code, what was written to stderr, statuses of each task).
    """

    def run(script):
        (tmp_path / "app_tasks.py").write_text(TASKS)
        (tmp_path / "app.py").write_text(START + script)
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "app.py"],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        storage = SqliteStorage(tmp_path / "store.db")
        manager = TriggerManager("s", storage=storage, plugins=Plugins(load_entry_points=False))
        found = Counter(f"{i.task_name} {i.status}" for i in manager.instances())
        storage.close()
        return done.returncode, done.stderr, dict(found)

    return run


def test_a_task_pending_at_exit_and_its_cascades_are_finished(run_app):
    code, stderr, found = run_app(
        """
configure(
    t1=("go", "wait_for_main_to_end"),
    t2=("t1", "step"),
    t3=("t2", "step"),
    t4=("t2", "step"),
)
manager.fire("go")
app_tasks.started.wait()
"""
    )
    assert (code, stderr) == (0, "")
    assert found == {"t1 finished": 1, "t2 finished": 1, "t3 finished": 1, "t4 finished": 1}


def test_retries_that_begin_and_cool_down_after_main_ended_are_finished(run_app):
    code, stderr, found = run_app(
        """
configure(t1=("go", "wait_for_main_to_end"), t2=("t1", "flaky"), t3=("t2", "step"))
manager.fire("go")
app_tasks.started.wait()
"""
    )
    assert (code, stderr) == (0, "")
    assert found == {"t1 finished": 1, "t2 replayed": 2, "t2 finished": 1, "t3 finished": 1}


def test_what_queued_for_a_worker_is_finished(run_app):
    code, stderr, found = run_app(
        """
configure(t1=("go", "wait_for_main_to_end"), t2=("t1", "step"), bad=("t1", "fail"))
for _ in range(10):
    manager.fire("go")
app_tasks.started.wait()
"""
    )
    assert code == 0
    assert sorted(stderr.splitlines()) == [
        f"session 's': bad#{number}, attempt 1, failed: ValueError: no; "
        "the instance's metadata has the traceback"
        for number in range(10)
    ]
    assert found == {"t1 finished": 10, "t2 finished": 10, "bad failed": 10}


def test_main_may_end_right_after_it_fired(run_app):
    code, stderr, found = run_app(
        """
configure(t1=("go", "step"), t2=("t1", "flaky"))
manager.fire("go")
"""
    )
    assert (code, stderr) == (0, "")
    assert found == {"t1 finished": 1, "t2 replayed": 2, "t2 finished": 1}


def test_an_exit_code_is_kept(run_app):
    code, stderr, found = run_app(
        """
configure(t1=("go", "wait_for_main_to_end"), t2=("t1", "step"))
manager.fire("go")
app_tasks.started.wait()
sys.exit(3)
"""
    )
    assert (code, stderr) == (3, "")
    assert found == {"t1 finished": 1, "t2 finished": 1}


def test_an_error_in_main_loses_no_work(run_app):
    code, stderr, found = run_app(
        """
configure(t1=("go", "wait_for_main_to_end"), t2=("t1", "step"))
manager.fire("go")
app_tasks.started.wait()
raise ValueError("main's own")
"""
    )
    assert code == 1
    assert stderr.splitlines()[-1] == "ValueError: main's own"
    assert found == {"t1 finished": 1, "t2 finished": 1}


def test_a_fire_that_comes_too_late_says_so_and_is_recorded(run_app):
    """F7: an exit handler runs when the interpreter has done its waiting for threads."""
    code, stderr, found = run_app(
        """
import atexit

configure(t1=("go", "step"))


@atexit.register
def fire_at_exit():
    try:
        manager.fire("go")
    except Exception as error:
        print(type(error).__name__, error, file=sys.stderr)
    manager.storage.close()
"""
    )
    assert code == 0
    assert stderr.startswith("DispatchError session 's': t1#0 did not reach a runner (the interp")
    assert found == {"t1 scheduled": 1}


def test_what_a_daemon_thread_fires_once_main_has_ended_is_recorded_and_not_run(run_app):
    """F7: the interpreter does not wait for a daemon thread, so neither for what it fires."""
    code, stderr, found = run_app(
        """
import threading

configure(t1=("go", "step"))
said = threading.Event()


def fire_when_main_has_ended():
    threading.main_thread().join()
    try:
        manager.fire("go")
    except Exception as error:
        print(type(error).__name__, error, file=sys.stderr)
    manager.storage.close()
    said.set()


threading.Thread(target=fire_when_main_has_ended, daemon=True).start()
threading.Thread(target=said.wait).start()
"""
    )
    assert code == 0
    assert stderr.startswith("DispatchError session 's': t1#0 did not reach a runner (the interp")
    assert found == {"t1 scheduled": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forks_child_uses_the_runner_while_the_parents_threads_work(run_app):
    code, stderr, found = run_app(
        """
import os
import threading
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork with threads

configure(t1=("go", "wait_for_main_to_end"), t2=("more", "step"), t3=("t2", "flaky"))
manager.fire("go")
app_tasks.started.wait()
child = os.fork()
if child == 0:
    manager.fire("more")
    runner.join_all()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
manager.fire("more")
"""
    )
    assert (code, stderr) == (0, "")
    assert found == {
        "t1 finished": 1,
        "t2 finished": 2,
        "t3 replayed": 4,
        "t3 finished": 2,
    }
