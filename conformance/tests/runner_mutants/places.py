"""Faulty in where tasks run."""

import json
import pickle
import time

from runner_mutants.bases import Sound, mutant


@mutant("C6", "it calls itself remote and runs here")
class RemoteHere(Sound):
    capabilities = frozenset({"remote"})


@mutant("C7", "it sends the instance itself")
class SendsInstance(Sound):
    capabilities = frozenset({"remote"})

    def run(self, manager, task_instance):
        super().run(manager, pickle.loads(pickle.dumps(task_instance)))


@mutant("C7", "it sends the kwargs along")
class SendsKwargs(Sound):
    capabilities = frozenset({"remote"})

    def run(self, manager, task_instance):
        json.dumps({name: dict(kw) for name, kw in task_instance.trigger_kwargs.items()})
        super().run(manager, manager.instance(task_instance.name))


@mutant("C8", "it calls itself inline and returns before the end")
class InlineElsewhere(Sound):
    capabilities = frozenset({"inline"})

    def start(self, work):
        super().start(lambda: (time.sleep(0.05), work()))
