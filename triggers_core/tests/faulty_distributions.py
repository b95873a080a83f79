"""Every way to register a runner, a manager or a storage wrongly, and what is said of each."""

from .distributions import MANAGERS, RUNNERS, STORAGES, Distribution

MISNAMED = Distribution(
    "acme-misnamed",
    """
from triggers_core import BaseTaskRunner, MemoryStorage, TriggerManager

class Runner(BaseTaskRunner):
    name = "crier"
    def run(self, manager, task_instance): ...

class Manager(TriggerManager):
    name = "crier"

class Storage(MemoryStorage):
    name = "crier"
""",
    {
        RUNNERS: {"herald": "acme_misnamed:Runner"},
        MANAGERS: {"herald": "acme_misnamed:Manager"},
        STORAGES: {"herald": "acme_misnamed:Storage"},
    },
)

NAMELESS = Distribution(
    "acme-nameless",
    """
from triggers_core import BaseTaskRunner, MemoryStorage, TriggerManager

class Silent(BaseTaskRunner):
    def run(self, manager, task_instance): ...

class Empty(Silent):
    name = ""

class Number(Silent):
    name = 7

class EmptyManager(TriggerManager):
    name = ""

class NumberManager(TriggerManager):
    name = 7

class EmptyStorage(MemoryStorage):
    name = ""

class NumberStorage(MemoryStorage):
    name = 7
""",
    {
        RUNNERS: {
            "silent": "acme_nameless:Silent",
            "empty": "acme_nameless:Empty",
            "number": "acme_nameless:Number",
        },
        MANAGERS: {
            "empty": "acme_nameless:EmptyManager",
            "number": "acme_nameless:NumberManager",
        },
        STORAGES: {
            "empty": "acme_nameless:EmptyStorage",
            "number": "acme_nameless:NumberStorage",
        },
    },
)

EAST, WEST = (
    Distribution(
        f"acme-{side}",
        "",
        {group: {"twin": f"acme_{side}:Twin"} for group in (RUNNERS, MANAGERS, STORAGES)},
    )
    for side in ("east", "west")
)


def unloadable(name, source):
    """Return a distribution whose entry points all name what its module does not come to have."""
    distribution = Distribution(f"acme-{name}", source)
    for group in (RUNNERS, MANAGERS, STORAGES):
        distribution.entry_points[group] = {name: f"{distribution.module}:Absent"}
    return distribution


NEEDY = unloadable("needy", "import acme_that_is_not_installed")
EXPLOSIVE = unloadable("explosive", "raise RuntimeError('no licence key')")
QUITTING = unloadable("quitting", "raise SystemExit('no display')")
OUTDATED = unloadable("outdated", "Present = 1")

IMPOSTOR = Distribution(
    "acme-impostor",
    """
from triggers_core import BaseTaskRunner, Storage

class Plain:
    name = "plain"

class Abstract(BaseTaskRunner):
    name = "abstract"

class Runner(BaseTaskRunner):
    name = "object"
    def run(self, manager, task_instance): ...

class AbstractStorage(Storage):
    name = "abstract"

runner = Runner()
""",
    {
        RUNNERS: {
            "plain": "acme_impostor:Plain",
            "abstract": "acme_impostor:Abstract",
            "object": "acme_impostor:runner",
            "module": "acme_impostor",
        },
        MANAGERS: {"plain": "acme_impostor:Plain"},
        STORAGES: {"plain": "acme_impostor:Plain", "abstract": "acme_impostor:AbstractStorage"},
    },
)

UNBUILDABLE = Distribution(
    "acme-unbuildable",
    """
from triggers_core import BaseTaskRunner

class Unconfigured(BaseTaskRunner):
    name = "unconfigured"
    def __init__(self):
        raise KeyError("ACME_QUEUE")
    def run(self, manager, task_instance): ...

class Demanding(BaseTaskRunner):
    name = "demanding"
    def __init__(self, queue): ...
    def run(self, manager, task_instance): ...
""",
    {
        RUNNERS: {
            "unconfigured": "acme_unbuildable:Unconfigured",
            "demanding": "acme_unbuildable:Demanding",
        }
    },
)

FAULTY = (
    MISNAMED, NAMELESS, EAST, WEST, NEEDY, EXPLOSIVE, QUITTING, OUTDATED, IMPOSTOR, UNBUILDABLE,
)  # fmt: skip

BROKEN = {
    RUNNERS: {
        "herald": "acme-misnamed registers 'acme_misnamed:Runner' as task runner 'herald', but "
        "its name is 'crier'; make the two equal",
        "silent": "acme-nameless offers the task runner .*Silent.*, whose 'name' is None; give "
        "the class a non-empty str",
        "empty": "acme-nameless offers the task runner .*Empty.*, whose 'name' is ''; give",
        "number": "acme-nameless offers the task runner .*Number.*, whose 'name' is 7; give",
        "twin": "the task runner name 'twin' is claimed by the distributions acme-east and "
        "acme-west; uninstall all but one",
        "needy": "'acme_needy:Absent' of the distribution acme-needy fails to import: "
        "ModuleNotFoundError: No module named 'acme_that_is_not_installed'",
        "explosive": "acme-explosive fails to import: RuntimeError: no licence key",
        "quitting": "acme-quitting fails to import: SystemExit: no display",
        "outdated": "acme-outdated fails to import: AttributeError: .*'Absent'",
        "plain": "acme-impostor offers .*Plain.* as task runner: expected a subclass of "
        "triggers_core.BaseTaskRunner",
        "abstract": "acme-impostor offers .*Abstract.* as task runner: expected a class that "
        r"defines run\(self, manager, task_instance\)",
        "object": "acme-impostor offers .*Runner object.* as task runner: expected a subclass of",
        "module": "acme-impostor offers <module .* as task runner: expected a subclass of",
    },
    MANAGERS: {
        "herald": "acme-misnamed registers 'acme_misnamed:Manager' as manager 'herald', but its",
        "empty": "acme-nameless offers the manager .*EmptyManager.*, whose 'name' is ''; give",
        "number": "acme-nameless offers the manager .*NumberManager.*, whose 'name' is 7; give",
        "twin": "the manager name 'twin' is claimed by .* acme-east and acme-west; uninstall",
        "needy": "acme-needy fails to import: ModuleNotFoundError: No module named",
        "explosive": "acme-explosive fails to import: RuntimeError: no licence key",
        "quitting": "acme-quitting fails to import: SystemExit: no display",
        "outdated": "acme-outdated fails to import: AttributeError: .*'Absent'",
        "plain": "acme-impostor offers .*Plain.* as manager: expected a subclass of "
        "triggers_core.TriggerManager",
    },
    STORAGES: {
        "herald": "acme-misnamed registers 'acme_misnamed:Storage' as storage 'herald', but its",
        "empty": "acme-nameless offers the storage .*EmptyStorage.*, whose 'name' is ''; give",
        "number": "acme-nameless offers the storage .*NumberStorage.*, whose 'name' is 7; give",
        "twin": "the storage name 'twin' is claimed by .* acme-east and acme-west; uninstall",
        "needy": "acme-needy fails to import: ModuleNotFoundError: No module named",
        "explosive": "acme-explosive fails to import: RuntimeError: no licence key",
        "quitting": "acme-quitting fails to import: SystemExit: no display",
        "outdated": "acme-outdated fails to import: AttributeError: .*'Absent'",
        "plain": "acme-impostor offers .*Plain.* as storage: expected a subclass of "
        "triggers_core.Storage",
        "abstract": "acme-impostor offers .*AbstractStorage.* as storage: expected a class that "
        "defines .*transaction",
    },
}
"""Entry-point group → name → what the error says."""
