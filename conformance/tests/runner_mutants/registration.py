"""Faulty in what is registered, and what it says that it offers."""

import threading

from runner_mutants.bases import NAME, Sound, mutant
from triggers_core import BaseTaskRunner, execute


@mutant("G2", "it looks like a runner, and is none")
class DuckRunner:
    name = NAME

    def run(self, manager, task_instance):
        execute(manager, task_instance)


@mutant("G3", "it does not define run")
class WithoutRun(BaseTaskRunner):
    name = NAME

    def start(self, manager, task_instance):
        execute(manager, task_instance)


@mutant("G4", "it wants an argument")
class WantsArgument(Sound):
    def __init__(self, url):
        self.url = url


@mutant("G4", "it connects when it is built")
class ConnectsEarly(Sound):
    def __init__(self):
        raise ConnectionRefusedError("no broker at localhost:1")


@mutant("G4", "it waits for its engine when it is built")
class WaitsWhenBuilt(Sound):
    def __init__(self):
        threading.Event().wait(5)


@mutant("G5", "its capabilities are one str")
class StrCapabilities(Sound):
    capabilities = "join"


@mutant("G5", "a capability is misspelt")
class MisspeltCapability(Sound):
    capabilities = frozenset({"jion"})


@mutant("G5", "it claims to be inline and remote")
class InlineAndRemote(Sound):
    capabilities = frozenset({"inline", "remote"})
