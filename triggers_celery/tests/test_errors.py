"""What is wrong with a process's Celery is one clear error, which says what to do.

Each case is a process of its own: Celery knows the apps of a process, and so would the next test.
"""

import json
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

import pytest

NEEDED = ("triggers-core", "triggers-celery", "pluggy", "importlib-metadata", "zipp")
FIRE = """
import json
from triggers_core import MemoryStorage, Plugins, TriggerManager

def fire(plugins=None):
    storage = MemoryStorage()
    plugins = plugins or Plugins()
    plugins.add_storage(storage)
    manager = TriggerManager("session", storage=storage, plugins=plugins)
    manager.update_configuration({"t_ship": {"after": ["go"], "run": "shop.ship"}})
    try:
        manager.fire("go")
    except Exception as error:
        cause = error.__cause__
        told = [type(error).__name__, cause and type(cause).__name__, str(error)]
    else:
        told = None
    print(json.dumps([told, [instance.status for instance in manager.instances()]]))
"""
EAGER = {"broker_url": "memory://", "task_always_eager": True}
SHOP = f"""
from celery import Celery
from triggers_celery import CeleryTriggerTask

def ship(context):
    pass

def shop(name="shop", base=CeleryTriggerTask):
    app = Celery(name)
    app.conf.update({EAGER})
    app.task(name="shop.ship", base=base, shared=False)(ship)
    return app
"""


def python(script, *, cwd, path=()):
    """Run a script; return the JSON that it prints last. With ``path``, it sees that alone."""
    options = ["-S"] if path else []
    environment = {"PYTHONPATH": ":".join(map(str, path))} if path else None
    ran = subprocess.run(
        [sys.executable, *options, "-c", script],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def refused(script, cwd, path=()):
    """Return (type of the error's cause, its message) of a fire that reached no runner."""
    told, statuses = python(script, cwd=cwd, path=path)
    assert statuses == ["scheduled"]
    error, cause, message = told
    assert error == "DispatchError"
    assert "do not fire it again" in message
    return cause, message


@pytest.fixture
def without_celery(tmp_path):
    """Folders to find modules in, as where triggers-celery was installed and Celery was not."""
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in NEEDED:
        information = Path(metadata.distribution(name)._path)
        (installed / information.name).symlink_to(information)
        package = Path(util.find_spec(name.replace("-", "_")).origin).parent
        (installed / package.name).symlink_to(package)
    return [installed]


@pytest.fixture
def with_old_celery(without_celery):
    """The same, with a Celery that is too old."""
    information = without_celery[0] / "celery-5.3.6.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: celery\nVersion: 5.3.6\n")
    return without_celery


IMPORT = """
import json, triggers_celery
try:
    triggers_celery.CeleryTriggerTask
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def test_without_celery_a_fire_says_what_to_install(tmp_path, without_celery):
    cause, message = refused(f"{FIRE}\nfire()", tmp_path, without_celery)

    assert cause == "PluginError"
    assert "Celery, which is missing: pip install --upgrade 'celery>=5.4'" in message


def test_without_celery_an_application_is_told_what_to_install(tmp_path, without_celery):
    assert python(IMPORT, cwd=tmp_path, path=without_celery) == [
        "PluginError",
        "triggers-celery needs Celery, which is missing: pip install --upgrade 'celery>=5.4'",
    ]


def test_without_celery_the_runner_is_listed(tmp_path, without_celery):
    script = """
import json
from triggers_core import Plugins
print(json.dumps([[each.name, each.problem] for each in Plugins().runners.listing()]))
"""
    assert python(script, cwd=tmp_path, path=without_celery) == [["celery", None]]


def test_with_an_old_celery_a_fire_says_which_is_needed(tmp_path, with_old_celery):
    cause, message = refused(f"{FIRE}\nfire()", tmp_path, with_old_celery)

    assert cause == "PluginError"
    assert "needs Celery 5.4, not 5.3.6: pip install --upgrade 'celery>=5.4'" in message


def test_with_an_old_celery_an_application_is_told_which_is_needed(tmp_path, with_old_celery):
    assert python(IMPORT, cwd=tmp_path, path=with_old_celery) == [
        "PluginError",
        "triggers-celery needs Celery 5.4, not 5.3.6: pip install --upgrade 'celery>=5.4'",
    ]


@pytest.mark.parametrize(
    ("made_before", "cause", "says"),
    [
        pytest.param(
            "",
            "TaskNotFound",
            ["this process has no Celery app; import the module that makes it"],
            id="no app",
        ),
        pytest.param(
            "import celery\ncelery.current_app.tasks",
            "TaskNotFound",
            ["this process has no Celery app"],
            id="a current app that Celery made up",
        ),
        pytest.param(
            f'{SHOP}\napp = Celery("mail")',
            "TaskNotFound",
            [
                "the Celery app (mail) has no task 'shop.ship'",
                "import the module that defines it, or add the module to the app's 'include'",
            ],
            id="an app without the task",
        ),
        pytest.param(
            f'{SHOP}\napp = Celery("mail", include=["not_there"])',
            "TaskNotFound",
            [
                "the modules that the app mail includes cannot be imported",
                "No module named 'not_there'",
            ],
            id="an app whose modules cannot be imported",
        ),
        pytest.param(
            f'{SHOP}\napps = shop("one"), shop("two")',
            "PluginError",
            [
                "Celery task 'shop.ship' is in several apps (one and two)",
                "choose one with plugins.use_runner(CeleryTaskRunner(app))",
            ],
            id="a task of two apps",
        ),
        pytest.param(
            f"{SHOP}\napp = shop()\napp.conf.accept_content = ['pickle', 'yaml']",
            "PluginError",
            [
                "the Celery app shop accepts pickle, yaml",
                "add 'json' to its accept_content",
            ],
            id="an app that accepts no JSON",
        ),
    ],
)
def test_a_task_that_is_not_to_be_had_is_an_error_that_says_why(tmp_path, made_before, cause, says):
    found, message = refused(f"{FIRE}\n{made_before}\nfire()", tmp_path)

    assert found == cause
    for words in says:
        assert words in message


def test_the_modules_that_an_app_includes_are_imported_for_the_task(tmp_path):
    (tmp_path / "tasks.py").write_text(
        "from __main__ import CeleryTriggerTask, app, ship\n"
        "app.task(name='shop.ship', base=CeleryTriggerTask)(ship)\n"
    )
    script = f"""{FIRE}{SHOP}
app = Celery("shop", include=["tasks"])
app.conf.update({EAGER})
fire()"""

    assert python(script, cwd=tmp_path) == [None, ["finished"]]


def test_of_two_apps_the_one_that_was_chosen_has_its_task_run(tmp_path):
    script = f"""{FIRE}{SHOP}
from triggers_celery import CeleryTaskRunner
apps = shop("one"), shop("two")
plugins = Plugins()
plugins.use_runner(CeleryTaskRunner(apps[1]))
fire(plugins)"""

    assert python(script, cwd=tmp_path) == [None, ["finished"]]


def test_of_two_apps_the_one_that_has_the_task_is_taken(tmp_path):
    script = f'{FIRE}{SHOP}\napps = Celery("mail"), shop()\nfire()'

    assert python(script, cwd=tmp_path) == [None, ["finished"]]


def test_an_app_that_has_the_task_is_taken_whatever_another_one_includes(tmp_path):
    script = f'{FIRE}{SHOP}\napps = Celery("mail", include=["not_there"]), shop()\nfire()'

    assert python(script, cwd=tmp_path) == [None, ["finished"]]


def test_an_app_that_is_configured_after_its_tasks_has_its_messages_confirmed(tmp_path):
    script = f"""{FIRE}{SHOP}
app = shop()
app.conf.broker_transport_options = {{"visibility_timeout": 60}}
fire()
print(json.dumps(app.conf.broker_transport_options))"""

    options = {"visibility_timeout": 60, "confirm_publish": True}
    assert python(script, cwd=tmp_path) == options
