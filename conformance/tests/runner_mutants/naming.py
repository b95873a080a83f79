"""Faulty in its name."""

from runner_mutants.bases import NAME, Sound, mutant
from triggers_core import BaseTaskRunner, execute


@mutant("N1", "it has no name")
class Nameless(BaseTaskRunner):
    def run(self, manager, task_instance):
        execute(manager, task_instance)


@mutant("N1", "its name is empty")
class EmptyName(Sound):
    name = ""


@mutant("N1", "its name is bytes")
class BytesName(Sound):
    name = b"mutant"


@mutant("N1", "its name has a space at the end")
class SpacedName(Sound):
    name = "mutant "


@mutant("N2", "its name is a property")
class PropertyName(Sound):
    @property
    def name(self):
        return NAME


@mutant("N2", "its name is set in __init__")
class NameSetLate(BaseTaskRunner):
    def __init__(self):
        self.name = NAME

    def run(self, manager, task_instance):
        execute(manager, task_instance)


@mutant("N3", "it is registered under another name than its own")
class OtherName(Sound):
    name = "another"


@mutant("N5", "every instance has a name of its own")
class NumberedName(Sound):
    def __init__(self):
        self.name = f"{NAME}-{id(self)}"
