"""F9: fires from any number of threads and processes equal some serial order."""

import subprocess
import sys
import threading

import pytest

from triggers_core import BaseTaskRunner, MemoryStorage, Plugins, SqliteStorage, TriggerManager

DEADLINE_SECONDS = 120
ITEMS = 25
FIRERS = 4
CONFIGURATION = {
    "t_join": {"after": ["go", "set"], "run": "x.y", "using": "journal"},
    "t_count": {
        "after": [{"each": "item", "times": FIRERS * ITEMS}],
        "run": "x.y",
        "using": "journal",
    },
    "t_each": {"after": ["go"], "andEvery": "item", "run": "x.y", "using": "journal"},
}
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
import test_concurrency as shared
from triggers_core import SqliteStorage
shared.fire_all(SqliteStorage(sys.argv[2]), sys.argv[3])
"""


class Journal(BaseTaskRunner):
    """Writes down what it is given."""

    name = "journal"

    def __init__(self):
        self.given = []

    def run(self, manager, task_instance):
        self.given.append(task_instance.name)


def fire_all(storage, who):
    """Fire everything, as one of the firers; print what this one was given to run."""
    journal = Journal()
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(journal)
    manager = TriggerManager("s", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    for number in range(ITEMS):
        manager.fire("item", {"who": who, "number": number})
        manager.fire("set", {"who": who})
        manager.fire("go", {"who": who})
    print(*journal.given, sep="\n")
    return journal.given


def check(storage, given):
    """Any serial order gives as many instances as items, each handed to one runner, once."""
    manager = TriggerManager("s", storage=storage, plugins=Plugins(load_entry_points=False))
    each = manager.instances("t_each")
    fired = [
        (instance.trigger_kwargs["item"]["who"], instance.trigger_kwargs["item"]["number"])
        for instance in each
    ]
    assert [instance.number for instance in each] == list(range(FIRERS * ITEMS))
    assert len(set(fired)) == FIRERS * ITEMS
    assert len(manager.instances("t_join")) == 1
    (count,) = manager.instances("t_count")
    assert count.counts == {"item": FIRERS * ITEMS}
    with storage.read("s") as reader:
        logged = reader.firings("item", 2 * FIRERS * ITEMS)
    assert sorted((kwargs["who"], kwargs["number"]) for kwargs in logged) == sorted(fired)
    assert sorted(given) == sorted(instance.name for instance in manager.instances())
    assert {str(instance.status) for instance in manager.instances()} == {"scheduled"}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_f9_threads(kind, tmp_path):
    storage = MemoryStorage() if kind == "memory" else SqliteStorage(tmp_path / "store.db")
    given = []
    threads = [
        threading.Thread(target=lambda who=str(who): given.extend(fire_all(storage, who)))
        for who in range(FIRERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)

    check(storage, given)
    storage.close()


def test_f9_processes(tmp_path):
    path = tmp_path / "store.db"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, __file__, path, str(who)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in range(FIRERS)
    ]
    given = []
    for child in children:
        out, _ = child.communicate(timeout=DEADLINE_SECONDS)
        assert child.returncode == 0
        given += out.split()

    storage = SqliteStorage(path)
    check(storage, given)
    storage.close()
