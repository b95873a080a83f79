"""A log of permits, replayed: exactly the status counts that it must give."""

import collections
import csv
import json
import time

import pytest

from triggers_core import MemoryStorage, Plugins, SqliteStorage, TriggerManager, trigger_task
from triggers_core.hookspecs import hookimpl


class PermitManager(TriggerManager):
    name = "permits"
    default_task_runner_name = "threading"


class PermitTasks:
    """Every task of the log returns {}."""

    @hookimpl
    def triggers_resolve_task(self, target):
        return trigger_task(lambda context: {}) if target.startswith("permits.") else None


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_permit_log_gives_the_expected_status_counts(
    permit_log, kind, tmp_path, record_property
):
    with (permit_log / "permits.csv").open(newline="", encoding="utf-8") as rows:
        log = list(csv.DictReader(rows))
    configuration = json.loads((permit_log / "permits.json").read_text("utf-8"))
    expected = json.loads((permit_log / "permits.expected.json").read_text("utf-8"))
    storage = MemoryStorage() if kind == "memory" else SqliteStorage(tmp_path / "permits.db")
    plugins = Plugins()
    plugins.register(PermitTasks())
    threads = plugins.runner("threading")
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
        "rate",
        f"permit log of {len(log)} triggers on {kind} and threads: "
        f"{len(log) / seconds:.0f} triggers/s",
    )
    assert (len(managers), len(log)) == (expected["sessions"], expected["triggers_fired"])
    assert {task: dict(found) for task, found in counts.items()} == expected["instances"]
