"""A fork beside busy threads: the child begins with locks that nobody holds, and without leases."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

CHILDREN = 120
"""Forked one after the other, each at whichever point the threads have come to."""
DEADLINE = 300
"""Seconds. Far more than anything here takes."""

RENEW = f"""
import os, sys, threading, warnings

from triggers_core import BaseTaskRunner, MemoryStorage, Plugins, TriggerManager
from triggers_core.worker.lease import KEEPER

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork with threads
sys.setswitchinterval(1e-6)
THREADS, DEADLINE = 4, 60


class Held(BaseTaskRunner):
    name = "held"

    def run(self, manager, task_instance):
        pass


class ToldOfRenewals(MemoryStorage):
    def __init__(self):
        super().__init__()
        self.renewed = threading.Event()

    def transaction(self, session_uid, manager_name):
        self.renewed.set()
        return super().transaction(session_uid, manager_name)


class Hasty(TriggerManager):
    name = "hasty"
    default_task_runner_name = "held"
    lease_duration = 0.003


plugins = Plugins(load_entry_points=False)
plugins.use_runner(Held())


def scheduled():
    '''Return a manager and its instance, ready to be worked on.'''
    manager = Hasty("s", storage=ToldOfRenewals(), plugins=plugins)
    manager.update_configuration({{"t": {{"after": ["go"], "run": "t"}}}})
    manager.fire("go")
    manager.storage.renewed.clear()
    return manager, manager.instance("t#0")


def work(manager, instance):
    '''Hold a lease until it has been renewed; return whether it was.'''
    manager.plugins.runner("held")
    with KEEPER.holding(manager, instance):
        return manager.storage.renewed.wait(DEADLINE)


def work_on(manager, instance):
    while True:
        manager.plugins.runner("held")
        with KEEPER.holding(manager, instance):
            pass


def at_once(works):
    '''Return what threads that begin at the same time return.'''
    start, found = threading.Barrier(len(works)), []

    def run(manager, instance):
        start.wait()
        found.append(work(manager, instance))

    threads = [threading.Thread(target=run, args=each) for each in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE)
    return found


for _ in range(THREADS):
    threading.Thread(target=work_on, args=scheduled(), daemon=True).start()

ends = []
for _ in range({CHILDREN}):
    works = [scheduled() for _ in range(THREADS)]
    child = os.fork()
    if child == 0:
        DEADLINE = 10
        code = 1
        try:
            code = 0 if at_once(works) == [True] * THREADS else 2
        finally:
            os._exit(code)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(ends.count(0), "of", len(ends), flush=True)
os._exit(0)
"""


DISPATCH = """
import os, signal, sys, threading, warnings

from triggers_core import BaseTaskRunner, Plugins

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork with threads
is_built, is_forked = threading.Event(), threading.Event()


class Quick(BaseTaskRunner):
    name = "quick"

    def run(self, manager, task_instance):
        pass


class Slow(Quick):
    name = "slow"

    def __init__(self):
        is_built.set()
        is_forked.wait()


plugins = Plugins(load_entry_points=False)
plugins.runners.add(Quick)
plugins.runners.add(Slow)
thread = threading.Thread(target=plugins.runner, args=("slow",))
thread.start()
is_built.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    print(plugins.runner("quick").name, flush=True)
    os._exit(0)
os.waitpid(child, 0)
is_forked.set()
thread.join()
print(plugins.runner("slow").name)
"""


def run(script):
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_childs_leases_are_renewed():
    assert run(RENEW) == f"{CHILDREN} of {CHILDREN}\n"


def test_a_child_has_runners_though_a_thread_was_building_one():
    assert run(DISPATCH) == "quick\nslow\n"
