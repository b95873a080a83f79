"""A log of permits, replayed by workers on a broker, ends as the rules demand.

What they demand is computed by another storage and another runner: memory and threads.
"""

import csv
import json
from itertools import zip_longest

import pytest

from triggers_core import MemoryStorage, Plugins, TriggerManager, hookimpl
from triggers_core.task import FunctionTask
from triggers_threading import ThreadingTaskRunner

MOST_SESSIONS = 300


class InMemory(TriggerManager):
    name = "in-memory"
    default_task_runner_name = "threading"


@pytest.fixture(scope="module")
def log(permit_log):
    """Session uid → the triggers of its permit with their kwargs, in the order of the file."""
    sessions = {}
    with (permit_log / "permits.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            sessions.setdefault(row.pop("session"), []).append((row.pop("trigger"), row))
    return dict(list(sessions.items())[:MOST_SESSIONS])


@pytest.fixture(scope="module")
def configuration(permit_log):
    return json.loads((permit_log / "permits.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def expected(log, configuration, load_orders):
    """Session uid → what its instances are when all is over, by memory and threads."""
    task = FunctionTask(load_orders({}).decide)

    class Targets:
        @hookimpl
        def triggers_resolve_task(self, target):
            return task

    runner = ThreadingTaskRunner()
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(runner)
    plugins.register(Targets())
    storage = MemoryStorage()
    found = {}
    for uid, firings in log.items():
        manager = InMemory(uid, storage=storage, plugins=plugins)
        manager.update_configuration(configuration)
        for firing in firings:
            manager.fire(*firing)
            runner.join_all(60)
        found[uid] = described(manager)
    return found


def test_f9_the_permit_log_ends_alike_on_workers_and_in_memory(
    open_shop, broker, log, configuration, expected
):
    shop = open_shop(broker)
    shop.start_worker()
    managers = {uid: TriggerManager(uid, storage=shop.ledger, plugins=shop.plugins) for uid in log}
    for manager in managers.values():
        manager.update_configuration(configuration)
    for round_of_triggers in zip_longest(*log.values()):
        for manager, firing in zip(managers.values(), round_of_triggers, strict=True):
            if firing is not None:
                manager.fire(*firing)
        # In the log, what a trigger leads to is over before the session's next trigger.
        shop.settle(shop.ledger)

    for uid, manager in managers.items():
        assert described(manager) == expected[uid]


def described(manager):
    """Return all of each instance that does not tell when or where it ran."""
    return [
        {
            "name": instance.name,
            "status": instance.status,
            "attempt": instance.attempt,
            "parent": instance.parent,
            "trigger_kwargs": instance.trigger_kwargs,
            "waits_for": instance.waits_for,
            "metadata": {k: v for k, v in instance.metadata.items() if k != "times"},
        }
        for instance in manager.instances()
    ]
