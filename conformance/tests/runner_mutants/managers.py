"""Faulty in the manager that it runs tasks with."""

from runner_mutants.bases import Sound, mutant
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
