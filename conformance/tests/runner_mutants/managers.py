"""Faulty in the manager that it runs tasks with."""

import tempfile
from pathlib import Path

from runner_mutants.bases import Pool, Sound, mutant
from triggers_core import TriggerManager


@mutant("R37", "it makes the manager anew, as the base class")
class BaseManager(Sound):
    def execute(self, manager, task_instance):
        own = TriggerManager(manager.session_uid, storage=manager.storage, plugins=manager.plugins)
        return super().execute(own, task_instance)


@mutant("R38", "it keeps the first storage that it sees")
class FirstStorage(Sound):
    _storage = None

    def run(self, manager, task_instance):
        self._storage = self._storage or manager.storage
        own = type(manager)(manager.session_uid, storage=self._storage, plugins=manager.plugins)
        super().run(own, task_instance)


@mutant("R38", "its class keeps the first plugins that it sees")
class FirstPlugins(Sound):
    _plugins = None

    def run(self, manager, task_instance):
        plugins = FirstPlugins._plugins = FirstPlugins._plugins or manager.plugins
        own = type(manager)(manager.session_uid, storage=manager.storage, plugins=plugins)
        super().run(own, task_instance)


@mutant("R60", "it keeps what waits in files named after the session and the instance")
class SpoolsToFiles(Sound):
    def run(self, manager, task_instance):
        folder = Path(tempfile.gettempdir(), "mutants-spool")
        folder.mkdir(exist_ok=True)
        path = folder / f"{manager.session_uid}-{task_instance.name}"
        path.write_text("waits")
        path.unlink()
        super().run(manager, task_instance)


@mutant("R60", "it takes its own key apart at the colons")
class SplitsKeys(Sound):
    def run(self, manager, task_instance):
        uid, name = f"{manager.session_uid}:{task_instance.name}".split(":")
        own = type(manager)(uid, storage=manager.storage, plugins=manager.plugins)
        super().run(own, own.instance(name))


@mutant("R60", "it cuts its keys off at 64 characters")
class CutsKeys(Pool):
    def __init__(self):
        self._waiting = {}
        super().__init__()

    def run(self, manager, task_instance):
        key = self.key(manager, task_instance)
        self._waiting[key] = (manager, task_instance)
        self.start(lambda: self.execute(*self._waiting.pop(key)))

    def key(self, manager, task_instance):
        return f"{task_instance.name} of {manager.session_uid}"[:64]


@mutant("R60", "it knows what waits by its name in small letters")
class FoldsKeys(CutsKeys):
    def key(self, manager, task_instance):
        return (manager.session_uid, task_instance.name.lower())
