"""Distributions that are really installed: a good one, and every way to register wrongly.

Each faulty one is an error of its own for whoever asks for it, which names the distribution, and
a line in the listing for everybody else.
"""

import re

import pytest

from .distributions import (
    MANAGERS,
    PLUGINS,
    RUNNERS,
    STORAGES,
    TRIGGERS,
    Distribution,
    install,
    python,
    run,
)
from .faulty_distributions import BROKEN, FAULTY

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
    return install(tmp_path_factory.mktemp("faulty"), GOOD, *FAULTY)


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


def test_the_command_line_lists_the_broken_beside_the_good(installed):
    ran = run(installed, TRIGGERS, "runners", COLUMNS="400")

    assert ran.returncode == 0, ran.stderr
    for name, reason in BROKEN[RUNNERS].items():
        assert re.search(f" {name} .* 1.2 .*{reason}", ran.stdout), name
    assert re.search(r" good +│ acme-good +│ 1.2 +│ ready", ran.stdout)
