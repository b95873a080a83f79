"""How a ``run`` target is found, whichever runner asks, and what is refused before any start.

Each case is a process of its own: Celery knows the apps of a process, and so would the next test.
"""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

COMMAND = Path(sys.executable).with_name("triggers")
SHOP = """
from celery import Celery
from triggers_celery import CeleryTriggerTask

app = Celery("shop", broker="amqp://guest:guest@127.0.0.1:1//")


@app.task(base=CeleryTriggerTask)
def ship(context):
    return {"by": "ship"}


@app.task(base=CeleryTriggerTask, name="ship it")
def named(context):
    return {"by": "named"}


class Pack(CeleryTriggerTask):
    name = "pack it"

    def run(self, context):
        return {"by": "Pack"}


app.register_task(Pack())


@app.task
def plain(context):
    return {"by": "plain"}
"""
STEPS = """
from triggers_core import TriggerTask, trigger_task


@trigger_task
def pay(context):
    return {"by": "pay"}


class Pay(TriggerTask):
    def run(self, context):
        return {"by": "Pay"}


def no_task(context):
    pass
"""
FIRE = """
import json, sys
from triggers_core import MemoryStorage, Plugins, TriggerManager

def fire(run, using="threading", plugins=None):
    storage = MemoryStorage()
    plugins = plugins or Plugins()
    plugins.add_storage(storage)
    manager = TriggerManager("session", storage=storage, plugins=plugins)
    try:
        manager.update_configuration({"t": {"after": ["go"], "run": run, "using": using}})
        manager.fire("go")
        plugins.runner("threading").join()
    except Exception as error:
        cause = error.__cause__ if type(error).__name__ == "DispatchError" else error
        told = [type(cause).__name__, str(cause)]
    else:
        instance = manager.instance("t#0")
        error = instance.metadata.get("error")
        told = [error["type"], error["message"]] if error else instance.metadata["result"]
    print(json.dumps(told))
"""


@pytest.fixture
def told(tmp_path):
    """Return a function that runs a script beside ``shop.py`` and ``steps.py``, and returns the
    JSON of its last line."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "steps.py").write_text(STEPS)

    def told(script):
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", FIRE + dedent(script)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    return told


MAIL = "from celery import Celery\napp = Celery('mail'"


@pytest.mark.parametrize(
    ("script", "by"),
    [
        pytest.param("fire('shop.ship')", "ship", id="a path, imported for it"),
        pytest.param("fire('shop.named')", "named", id="a path that is not its name"),
        pytest.param("fire('shop.Pack')", "Pack", id="the path of a class"),
        pytest.param("import shop\nfire('ship it')", "named", id="a name that is no path"),
        pytest.param("import shop\nfire('pack it')", "Pack", id="the name of a class' task"),
        pytest.param(
            f"{MAIL}, include=['shop'])\nfire('ship it')",
            "named",
            id="a name in what an app includes",
        ),
        pytest.param(
            f"{MAIL})\nfire('shop.ship')",
            "ship",
            id="a path, beside an app that shares the task",
        ),
        pytest.param(
            f"{MAIL}, include=['missing'])\nfire('steps.pay')",
            "pay",
            id="no Celery task, beside an app that includes what is missing",
        ),
        pytest.param(
            f"{MAIL}, autofinalize=False)\nfire('steps.pay')",
            "pay",
            id="no Celery task, beside an app that is not finalized yet",
        ),
    ],
)
def test_a_target_is_found_by_a_runner_that_knows_nothing_of_celery(told, script, by):
    assert told(script) == {"by": by}


EAGER = """
import shop
shop.app.conf.task_always_eager = True
shop.app.conf.include = {include}
fire({run!r}, using="celery")
"""


@pytest.mark.parametrize(
    ("run", "by"),
    [
        ("shop.ship", "ship"),
        ("shop.named", "named"),
        ("ship it", "named"),
        ("shop.Pack", "Pack"),
        ("steps.pay", "pay"),
        ("steps.Pay", "Pay"),
    ],
)
def test_the_celery_runner_finds_the_same_targets(told, run, by):
    assert told(EAGER.format(run=run, include=["triggers_celery.tasks"])) == {"by": by}


@pytest.mark.parametrize("run", ["steps.pay", "steps.Pay"])
def test_no_celery_task_is_refused_when_it_is_configured_unless_the_app_runs_such(told, run):
    kind, message = told(EAGER.format(run=run, include=[]))

    assert kind == "ConfigurationError"
    assert message == (
        f"task 't': run target {run!r} is no Celery task: declare it with "
        "@app.task(base=CeleryTriggerTask); or add 'triggers_celery.tasks' to the 'include' of the "
        "Celery app (shop), whose workers then run such tasks too; or choose another runner with "
        "'using'"
    )


def test_no_celery_task_is_refused_where_no_app_is_known(told):
    kind, message = told("fire('steps.pay', using='celery')")

    assert kind == "ConfigurationError"
    assert "to the 'include' of the Celery app (import it first)" in message


def test_a_plain_celery_task_is_refused_when_it_is_configured(told):
    kind, message = told(EAGER.format(run="shop.plain", include=[]))

    assert kind == "ConfigurationError"
    assert message == (
        "task 't': Celery task 'shop.plain' is a plain Celery task; declare it with "
        "@app.task(base=CeleryTriggerTask)"
    )


def test_a_plain_celery_task_fails_under_any_other_runner(told):
    kind, message = told("fire('shop.plain')")

    assert kind == "ConfigurationError"
    assert message.endswith("declare it with @app.task(base=CeleryTriggerTask)")


def test_what_cannot_be_found_here_yet_is_accepted_and_is_an_error_of_the_fire(told):
    kind, message = told(EAGER.format(run="shop.shp", include=[]))

    assert kind == "TaskNotFound"
    assert "module 'shop' has no attribute 'shp'" in message
    assert (
        "the Celery app (shop) has no task 'shop.shp'; import the module that defines it, or add "
        "the module to the app's 'include'" in message
    )


TWO_APPS = """
from celery import Celery
from triggers_celery import CeleryTaskRunner
apps = [Celery(name, include=["triggers_celery.tasks"]) for name in ("one", "two")]
for app in apps:
    app.conf.task_always_eager = True
"""


def test_two_apps_that_run_what_is_no_celery_task_are_to_be_chosen_from(told):
    kind, message = told(f"{TWO_APPS}\nfire('steps.pay', using='celery')")

    assert kind == "PluginError"
    assert message.endswith("choose one with plugins.use_runner(CeleryTaskRunner(app))")


def test_of_two_apps_that_run_what_is_no_celery_task_the_chosen_one_does(told):
    script = f"""{TWO_APPS}
plugins = Plugins()
plugins.use_runner(CeleryTaskRunner(apps[1]))
fire('steps.pay', 'celery', plugins)"""

    assert told(script) == {"by": "pay"}


CHOOSE = """
from celery import Celery
from triggers_celery import CeleryTaskRunner, CeleryTriggerTask

def made(name):
    app = Celery(name)
    app.conf.task_always_eager = True

    @app.task(base=CeleryTriggerTask, name="twice", shared=False)
    def twice(context):
        return {"by": name}

    return app

apps = made("one"), made("two")
plugins = Plugins()
plugins.use_runner(CeleryTaskRunner(apps[1]))
"""


@pytest.mark.parametrize("using", ["celery", "threading"])
def test_of_two_apps_the_one_that_was_chosen_has_its_task_run_by_any_runner(told, using):
    assert told(f"{CHOOSE}\nfire('twice', {using!r}, plugins)") == {"by": "two"}


def test_of_two_apps_none_of_which_was_chosen_no_runner_takes_any(told):
    kind, message = told(f"{CHOOSE}\nfire('twice')")

    assert kind == "PluginError"
    assert "Celery task 'twice' is in several apps (one and two)" in message


def test_what_is_no_celery_task_is_run_without_celery_being_imported(told):
    assert (
        told(
            """
        fire("steps.pay")
        print(json.dumps(sorted(name for name in sys.modules if name.startswith("celery"))))
        """
        )
        == []
    )


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        ("steps.pay", "run target 'steps.pay' is no Celery task"),
        ("shop.plain", "Celery task 'shop.plain' is a plain Celery task"),
        ("shop.ship", None),
        ("shop.shp", None),
    ],
)
def test_check_complains_of_what_the_celery_runner_never_runs(told, tmp_path, run, complaint):
    configuration = {"t": {"after": ["go"], "run": run, "using": "celery"}}
    (tmp_path / "steps.json").write_text(json.dumps(configuration))
    ran = subprocess.run(
        [COMMAND, "--import", "shop", "check", "steps.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == (1 if complaint else 0), ran.stderr
    assert (complaint or "nothing to complain of") in " ".join(ran.stdout.split())
