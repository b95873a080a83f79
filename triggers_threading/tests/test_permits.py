"""A real municipal permit log, replayed: exactly the status counts that it must give."""

import collections
import csv
import json
import os
import time
from pathlib import Path

import pytest

from triggers_core import MemoryStorage, Plugins, SqliteStorage, TriggerManager, trigger_task
from triggers_core.hookspecs import hookimpl

SHARED = Path(os.environ.get("TRIGGERS_SHARED", Path(__file__).parents[3] / "shared")) / "data"


class PermitManager(TriggerManager):
    name = "permits"
    default_task_runner_name = "threading"


class PermitTasks:
    """Every task of the log returns {}."""

    @hookimpl
    def triggers_resolve_task(self, target):
        return trigger_task(lambda context: {}) if target.startswith("permits.") else None


@pytest.fixture(scope="module")
def log():
    if not (SHARED / "permits.csv").exists():
        message = f"the permit log is not at {SHARED}; TRIGGERS_SHARED names its parent folder"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with (SHARED / "permits.csv").open(newline="", encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def load(name):
    return json.loads((SHARED / name).read_text("utf-8"))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_permit_log_gives_the_expected_status_counts(log, kind, tmp_path, record_property):
    storage = MemoryStorage() if kind == "memory" else SqliteStorage(tmp_path / "permits.db")
    plugins = Plugins()
    plugins.register(PermitTasks())
    threads = plugins.runner("threading")
    configuration = load("permits.json")
    managers = {}
    began = time.perf_counter()
    for row in log:
        session_uid = row["session"]
        if session_uid not in managers:
            managers[session_uid] = PermitManager(session_uid, storage=storage, plugins=plugins)
            managers[session_uid].update_configuration(configuration)
        managers[session_uid].fire(row["trigger"], {"at": row["at"], "resource": row["resource"]})
        threads.join_all(timeout=60)
    seconds = time.perf_counter() - began

    counts = collections.defaultdict(collections.Counter)
    for manager in managers.values():
        for instance in manager.instances():
            counts[instance.task_name][instance.status.value] += 1
    storage.close()
    record_property(
        "rate", f"permit log on {kind} and threads: {len(log) / seconds:.0f} triggers/s"
    )
    expected = load("permits.expected.json")
    assert (len(managers), len(log)) == (expected["sessions"], expected["triggers_fired"])
    assert {task: dict(found) for task, found in counts.items()} == expected["instances"]
