"""Recovery on PostgreSQL: a pass costs what it takes up, and of many machines at once, one takes
each instance."""

import subprocess
import sys
from collections import Counter

import pytest

from triggers_core.recovery import recover_once

DEADLINE_SECONDS = 60
LIMIT = 10
SESSIONS = 2000
CONFIGURATION = {"t": {"after": ["go"], "run": "task"}}

COPY_SESSIONS = """
INSERT INTO sessions (uid, manager_name, config_digest)
SELECT 'session ' || number, manager_name, config_digest
FROM sessions, generate_series(1, {copies}) AS number WHERE uid = 'session'
"""
COPY_INSTANCES = """
INSERT INTO instances
SELECT sessions.id, task_name, number, status, attempt, parent, instances.config_digest,
    trigger_kwargs, waits_for, not_before, created_at, changed_at,
    CASE WHEN sessions.id % {every} = 0 THEN sessions.id ELSE 1e10 END, reruns_left, metadata
FROM instances, sessions WHERE sessions.uid <> 'session'
"""
ADD_FINISHED = """
INSERT INTO instances
SELECT session_id, 'other', further, 'finished', 1, NULL, config_digest, '{}', '[]', 0, 0, 0, NULL,
    0, '{}'
FROM instances, generate_series(0, 9) AS further
"""


@pytest.fixture
def fill(storage, schema, admin, open_session):
    """Return a function that fills the store with sessions, a lost instance in every so many."""

    def fill(copies, *, every, analyze=True):
        open_session(storage, configuration=CONFIGURATION).fire("go")
        admin.execute(f'SET search_path TO "{schema}"')
        admin.execute("UPDATE instances SET recover_at = 1e10")
        admin.execute(COPY_SESSIONS.format(copies=copies))
        admin.execute(COPY_INSTANCES.format(every=every))
        (lost,) = admin.execute("SELECT count(*) FROM instances WHERE recover_at < 1e9").fetchone()
        admin.execute(ADD_FINISHED)
        if analyze:
            admin.execute("ANALYZE instances, sessions")
        return lost

    return fill


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.mark.parametrize("planned", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("every", [1, 100])
@pytest.mark.parametrize("analyze", [True, False])
def test_a_pass_looks_at_what_it_takes_up_and_at_nothing_more(
    storage, admin, fill, planned, every, analyze
):
    """However the server plans: it plans anew, or once for all, and knows the tables or not."""
    fill(SESSIONS, every=every, analyze=analyze)
    statement = storage._statements.take_lost(LIMIT).decode()
    for number, name in enumerate(("now", "hold_until"), 1):
        statement = statement.replace(f"%({name})s", f"${number}")
    admin.execute(f"SET plan_cache_mode = {planned}")
    admin.execute(f"PREPARE pass (float8, float8) AS {statement}")
    explained = admin.execute("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE pass (1e9, 2e9)").fetchone()
    found = list(nodes(explained[0][0]["Plan"]))

    assert {node["Node Type"] for node in found}.isdisjoint({"Seq Scan", "Bitmap Heap Scan"})
    looked_at = {node["Node Type"]: node["Actual Rows"] * node["Actual Loops"] for node in found}
    assert looked_at["LockRows"] == LIMIT
    assert max(looked_at.values()) <= LIMIT, looked_at


def test_a_pass_takes_no_more_than_its_limit(storage, fill, open_session):
    lost = fill(50, every=2)
    plugins = plugins_of(open_session(storage))
    passes = []
    while found := recover_once(storage, plugins=plugins, limit=LIMIT).dispatched:
        passes.append(found)

    assert [len(found) for found in passes] == [LIMIT, LIMIT, lost - 2 * LIMIT]
    assert len({uid for found in passes for uid, _ in found}) == lost


RECOVER = """
import json
import sys

from triggers_core import BaseTaskRunner, Plugins, TriggerManager
from triggers_core.recovery import recover_once
from triggers_postgres import PostgresStorage


class Outbox(BaseTaskRunner):
    name = "idle"
    is_first = True

    def run(self, manager, task_instance):
        print(manager.session_uid, flush=True)
        if self.is_first:
            self.is_first = False
            sys.stdin.readline()


class IdleManager(TriggerManager):
    name = "idle"
    default_task_runner_name = "idle"


url, schema = sys.argv[1:]
plugins = Plugins(load_entry_points=False)
plugins.use_runner(Outbox())
plugins.managers.add(IdleManager)
storage = PostgresStorage(url, schema=schema)
while recover_once(storage, plugins=plugins, limit=5).count:
    pass
storage.close()
"""


def test_many_processes_that_recover_at_once_take_each_instance_once(url, schema, fill):
    lost = fill(100, every=1)
    command = [sys.executable, "-c", RECOVER, url, schema]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    dispatched = Counter(process.stdout.readline().strip() for process in processes)
    for process in processes:
        process.stdin.write("all are amid a pass\n")
        process.stdin.flush()
    for process in processes:
        dispatched.update(process.communicate(timeout=DEADLINE_SECONDS)[0].splitlines())

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert set(dispatched.values()) == {1}
    assert len(dispatched) == lost


def plugins_of(manager):
    manager.plugins.managers.add(type(manager))
    return manager.plugins
