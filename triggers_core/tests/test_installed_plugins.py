"""Distributions that are really installed: a good one, and every way to register wrongly.

Each faulty one is an error of its own for whoever asks for it, which names the distribution, and
a line in the listing for everybody else.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

RUNNERS, MANAGERS, STORAGES, PLUGINS = (
    "triggers.runners",
    "triggers.managers",
    "triggers.storages",
    "triggers.plugins",
)
TRIGGERS = Path(sys.executable).with_name("triggers")


@dataclass(frozen=True)
class Distribution:
    """A distribution of one module; ``acme-good`` has ``acme_good``."""

    name: str
    source: str
    entry_points: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def module(self):
        return self.name.replace("-", "_")

    def write(self, folder):
        """Write its source tree; return where."""
        root = folder / self.name
        root.mkdir()
        (root / f"{self.module}.py").write_text(self.source)
        groups = [
            f'[project.entry-points."{group}"]\n'
            + "".join(f'{name} = "{target}"\n' for name, target in entry_points.items())
            for group, entry_points in self.entry_points.items()
        ]
        (root / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{self.name}"\nversion = "1.2"\n'
            f'[tool.hatch.build.targets.wheel]\ninclude = ["{self.module}.py"]\n' + "".join(groups)
        )
        return root


def install(folder, *distributions):
    """Build and install the distributions with pip; return the folder that has them."""
    sources = folder / "sources"
    sources.mkdir()
    subprocess.run(
        [
            sys.executable, "-m", "pip", "-q", "install", "--target", folder / "installed",
            "--no-deps", "--no-index", "--no-build-isolation", "--no-compile",
            *(distribution.write(sources) for distribution in distributions),
        ],
        check=True,
    )  # fmt: skip
    return folder / "installed"


def run(installed, *command, **environment):
    """Run a command where the distributions are installed."""
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(installed), **environment},
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )


def python(installed, source, **environment):
    """Run a script where the distributions are installed; return the JSON that it prints."""
    ran = run(installed, sys.executable, "-c", source, **environment)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


GOOD = Distribution(
    "acme-good",
    '''
from triggers_core import (
    BaseTaskRunner, MemoryStorage, TriggerManager, execute, hookimpl, trigger_task
)

heard = []

class Runner(BaseTaskRunner):
    """Runs the task on the spot."""
    name = "good"
    def run(self, manager, task_instance):
        execute(manager, task_instance, resolve=self.resolve)

class Manager(TriggerManager):
    name = "good"
    default_task_runner_name = "good"

class Storage(MemoryStorage):
    name = "good"
    @classmethod
    def from_url(cls, url, *, alias="default"):
        return cls(alias=alias)

@hookimpl
def triggers_fired(trigger_name):
    heard.append(trigger_name)

@trigger_task
def task(context):
    return {}
''',
    {
        RUNNERS: {"good": "acme_good:Runner"},
        MANAGERS: {"good": "acme_good:Manager"},
        STORAGES: {"good": "acme_good:Storage"},
        PLUGINS: {"good": "acme_good"},
    },
)

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

PROBE = """
import json, sys
from triggers_core import TriggersError, default_plugins

def modules():
    return sorted(name for name in sys.modules if name.startswith(("acme", "celery")))

plugins = default_plugins()
registries = {
    "triggers.runners": (plugins.runners, plugins.runner),
    "triggers.managers": (plugins.managers, plugins.managers.load),
    "triggers.storages": (plugins.storages, lambda name: plugins.open_storage(name + ":")),
}
answers = {"modules at first": modules()}
answers["names"] = {group: registry.names() for group, (registry, _) in registries.items()}
answers["modules after names"] = modules()
answers["listing"] = {
    group: [
        [line.name, line.distribution, line.version, line.problem] for line in registry.listing()
    ]
    for group, (registry, _) in registries.items()
}
answers["modules after listing"] = modules()
answers["asked"] = {}
for group, (_, ask) in registries.items():
    answers["asked"][group] = {}
    for name in answers["names"][group]:
        if name.partition("-")[0] in ("celery", "threading", "memory", "sqlite", "triggers"):
            continue
        try:
            answers["asked"][group][name] = [None, type(ask(name)).__name__]
        except TriggersError as error:
            answers["asked"][group][name] = [type(error).__name__, str(error)]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where the good distribution is, and beside it every one with a faulty class."""
    return install(
        tmp_path_factory.mktemp("faulty"),
        GOOD, MISNAMED, NAMELESS, EAST, WEST, NEEDY, EXPLOSIVE, QUITTING, OUTDATED, IMPOSTOR,
        UNBUILDABLE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def answers(installed):
    """What a process with all of them gets when it lists them, and asks for each."""
    return python(installed, PROBE)


@pytest.mark.parametrize(
    ("group", "name", "reason"),
    [
        pytest.param(group, name, reason, id=f"{group}-{name}")
        for group, of in BROKEN.items()
        for name, reason in of.items()
    ],
)
class TestABrokenOne:
    def test_is_an_error_that_names_the_distribution(self, answers, group, name, reason):
        error, message = answers["asked"][group][name]

        assert error == "PluginError"
        assert re.search(reason, message), message

    def test_is_listed_with_the_reason(self, answers, group, name, reason):
        lines = [line for line in answers["listing"][group] if line[0] == name]

        assert lines
        for _, distribution, version, problem in lines:
            assert distribution in problem
            assert version == "1.2"
            assert re.search(reason, problem), problem


def test_two_that_claim_one_name_are_two_lines(answers):
    for lines in answers["listing"].values():
        twins = [distribution for name, distribution, _, _ in lines if name == "twin"]
        assert twins == ["acme-east", "acme-west"]


def test_the_listing_goes_on_to_the_good_ones(answers):
    for group, lines in answers["listing"].items():
        assert ["good", "acme-good", "1.2", None] in lines
        broken = {name for name, _, _, problem in lines if problem is not None}
        assert broken == set(BROKEN[group])


def test_every_name_is_listed_without_an_import(answers):
    for group, names in answers["names"].items():
        assert set(BROKEN[group]) < set(names)
    assert answers["modules after names"] == answers["modules at first"] == ["acme_good"]


def test_listing_imports_what_is_offered_but_no_celery(answers):
    assert "celery" in answers["names"][RUNNERS]
    assert {"acme_impostor", "acme_misnamed"} < set(answers["modules after listing"])
    assert [name for name in answers["modules after listing"] if name.startswith("celery")] == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unconfigured", r"Unconfigured\(\) raised KeyError: 'ACME_QUEUE'"),
        ("demanding", r"Demanding\(\) raised TypeError: .*'queue'"),
    ],
)
def test_a_runner_that_cannot_be_built_is_an_error_that_names_the_distribution(
    answers, name, reason
):
    error, message = answers["asked"][RUNNERS][name]

    assert error == "PluginError"
    assert re.search(
        f"task runner '{name}' of the distribution acme-unbuildable cannot be built: .*{reason}",
        message,
    ), message


def test_a_good_one_works_from_its_entry_points_alone(installed):
    assert python(
        installed,
        """
import json
from triggers_core import default_plugins

manager = default_plugins().managers.load("good")("s-1")
manager.update_configuration({"t_pay": {"after": ["ordered"], "run": "acme_good.task"}})
manager.fire("ordered")

import acme_good
print(json.dumps({
    "storage": type(manager.storage).__module__,
    "status": manager.instance("t_pay#0").status,
    "heard": acme_good.heard,
}))
""",
        TRIGGERS_STORAGE="good:",
    ) == {"storage": "acme_good", "status": "finished", "heard": ["ordered", "t_pay"]}


def test_one_given_in_code_is_above_an_installed_one(installed):
    assert python(
        installed,
        """
import json
from triggers_core import BaseTaskRunner, PluginError, Plugins

class Mine(BaseTaskRunner):
    name = "good"
    def run(self, manager, task_instance): ...

before, after = Plugins(), Plugins()
before.use_runner(Mine())
after.runner("good")
try:
    after.use_runner(Mine())
except PluginError as error:
    refused = str(error)
print(json.dumps({
    "before": type(before.runner("good")).__module__,
    "after": type(after.runner("good")).__module__,
    "refused": refused,
    "listed": [line.distribution for line in after.runners.listing() if line.name == "good"],
}))
""",
    ) == {
        "before": "__main__",
        "after": "acme_good",
        "refused": "a task runner 'good' is in use already",
        "listed": ["acme-good"],
    }


def test_without_entry_points_nothing_that_is_installed_is_known(installed):
    assert python(
        installed,
        """
import json
from triggers_core import Plugins

plugins = Plugins(load_entry_points=False)
print(json.dumps([
    plugins.plugin_names(), plugins.runners.names(), plugins.runners.listing(),
    plugins.managers.names(), plugins.storages.names(),
]))
""",
    ) == [["triggers-core"], [], [], [], []]


HOOK_SOURCES = {
    "acme-needy": (
        "import acme_that_is_not_installed",
        "plugin 'hooks': the entry point 'acme_needy' of the distribution acme-needy fails to "
        "import: ModuleNotFoundError: No module named 'acme_that_is_not_installed'",
    ),
    "acme-quitting": (
        "raise SystemExit('no display')",
        "plugin 'hooks': the entry point 'acme_quitting' of the distribution acme-quitting "
        "fails to import: SystemExit: no display",
    ),
    "acme-misspelt": (
        "from triggers_core import hookimpl\n\n@hookimpl\ndef triggers_fierd(): ...",
        "the distribution acme-misspelt: plugin 'hooks': unknown hook 'triggers_fierd' in "
        "plugin <module 'acme_misspelt' .*; triggers_core.hookspecs lists the hooks",
    ),
}


@pytest.fixture(scope="module")
def hook_plugins(tmp_path_factory):
    """Name → where that distribution, which has faulty hooks, is installed beside no other."""
    return {
        name: install(
            tmp_path_factory.mktemp(name),
            Distribution(name, source, {PLUGINS: {"hooks": name.replace("-", "_")}}),
        )
        for name, (source, _) in HOOK_SOURCES.items()
    }


@pytest.mark.parametrize("name", HOOK_SOURCES)
def test_a_broken_hook_plugin_is_an_error_that_names_the_distribution(hook_plugins, name):
    """Going on without it could leave out what the application counts on."""
    printed = python(
        hook_plugins[name],
        """
import json
from triggers_core import PluginError, default_plugins

try:
    default_plugins()
except PluginError as error:
    print(json.dumps(str(error)))
""",
    )

    assert re.search(HOOK_SOURCES[name][1], printed), printed


@pytest.mark.parametrize("name", HOOK_SOURCES)
def test_a_command_goes_on_without_it_and_says_so_in_one_line(hook_plugins, name):
    ran = run(hook_plugins[name], TRIGGERS, "runners", COLUMNS="400")

    assert ran.returncode == 0
    assert "threading" in ran.stdout
    assert re.fullmatch(f"warning: left out: {HOOK_SOURCES[name][1]}\n", ran.stderr), ran.stderr


@pytest.mark.parametrize("name", HOOK_SOURCES)
def test_the_command_line_lists_it_with_the_reason(hook_plugins, name):
    ran = run(hook_plugins[name], TRIGGERS, "plugins", COLUMNS="400")

    assert re.search(f"│ hooks +│ +│ {HOOK_SOURCES[name][1]} +│", ran.stdout), ran.stdout
    assert re.search(r"│ triggers-core +│ triggers_.* +│ ready +│", ran.stdout)


def test_what_the_application_registers_is_known_though_a_plugin_is_broken(hook_plugins, tmp_path):
    (tmp_path / "acme_app.py").write_text(
        "from triggers_core import MemoryStorage, default_plugins\n"
        "default_plugins().add_storage(MemoryStorage())\n"
    )

    ran = run(
        hook_plugins["acme-needy"], TRIGGERS, "--import", "acme_app", "sessions",
        PYTHONPATH=f"{hook_plugins['acme-needy']}{os.pathsep}{tmp_path}",
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr


def test_a_plugin_whose_commands_cannot_be_added_stops_no_other(tmp_path):
    source = (
        "from triggers_core import hookimpl\n\n@hookimpl\n"
        "def triggers_register_commands(cli):\n    import acme_that_is_not_installed\n"
    )
    folder = install(tmp_path, Distribution("acme-lame", source, {PLUGINS: {"lame": "acme_lame"}}))

    ran = run(folder, TRIGGERS, "plugins", COLUMNS="400")

    assert ran.returncode == 0, ran.stderr
    problem = "plugin 'lame': its commands cannot be added: ModuleNotFoundError: No module named"
    assert f"warning: left out: {problem}" in ran.stderr
    assert re.search(f"│ lame +│ triggers_register_commands +│ {problem}", ran.stdout)


def test_the_command_line_lists_the_broken_beside_the_good(installed):
    ran = run(installed, TRIGGERS, "runners", COLUMNS="400")

    assert ran.returncode == 0, ran.stderr
    for name, reason in BROKEN[RUNNERS].items():
        assert re.search(f" {name} .* 1.2 .*{reason}", ran.stdout), name
    assert re.search(r" good +│ acme-good +│ 1.2 +│ ready", ran.stdout)


METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
RUNNER = """
from triggers_core import BaseTaskRunner

class Runner(BaseTaskRunner):
    name = "acme"
    version = {version!r}
    def run(self, manager, task_instance): ...
"""
ASK = """
import json
from triggers_core import PluginError, default_plugins

runners = default_plugins().runners
lines = [[line.name, line.distribution, line.version] for line in runners.listing()]
print(json.dumps([[line for line in lines if line[0] == "acme"], runners.load("acme").version]))
"""


def put(folder, information, name, version, told=METADATA):
    """Write a distribution as an installer leaves it: its module, and a folder of information."""
    (folder / information).mkdir(parents=True)
    (folder / "acme_runner.py").write_text(RUNNER.format(version=version))
    (folder / information / "entry_points.txt").write_text(
        f"[{RUNNERS}]\nacme = acme_runner:Runner\n"
    )
    if told is not None:
        file = "PKG-INFO" if information.endswith(".egg-info") else "METADATA"
        (folder / information / file).write_text(told.format(name=name, version=version))
    return folder


@pytest.mark.parametrize("left_behind", ["acme-runner.egg-info", "Acme.Runner-1.0.dist-info"])
def test_a_distribution_that_is_found_twice_is_one(tmp_path, left_behind):
    """As an editable install beside what an older one has left behind, under another spelling."""
    new = put(tmp_path / "new", "acme_runner-2.0.dist-info", "acme-runner", "2.0")
    old = put(tmp_path / "old", left_behind, "Acme.Runner", "1.0")

    found = python(new, ASK, PYTHONPATH=f"{new}{os.pathsep}{old}")

    assert found == [[["acme", "acme-runner", "2.0"]], "2.0"]


def test_a_distribution_without_metadata_is_named_by_its_folder(tmp_path):
    folder = put(tmp_path / "site", "acme_runner-2.0.dist-info", "acme-runner", "2.0", told=None)

    found = python(folder, ASK)

    assert found == [[["acme", f"(without metadata) in {folder}", None]], "2.0"]
