"""``triggers why``: one command says why a case is stuck, and what to type next."""

import re
import shlex

import pytest
from typer.testing import CliRunner

from triggers_core import Plugins, TriggerManager, trigger_task
from triggers_core.cli import commands
from triggers_core.recovery import recover_once

pytestmark = pytest.mark.parametrize("storage", ["memory"], indirect=True)

CONFIGURATION = {
    "t_close": {
        "after": ["applied", "fee_paid"],
        "unless": ["withdrawn"],
        "run": "close",
    },
    "t_archive": {"after": ["t_close"], "run": "archive"},
}


@trigger_task(max_retries=1, cooldown=600)
def at_second_try(context):
    if context.attempt == 1:
        try:
            raise TimeoutError("the register sleeps")
        except TimeoutError:
            context.retry()


@trigger_task
def break_down(context):
    context.logger.warning("the register was slow")
    raise RuntimeError("the register is down [503]")


@trigger_task
def give_up(context):
    context.skip()


@pytest.fixture
def case(manager, plugins, storage):
    """Give a session that is configured, in a storage that the command line finds."""
    plugins.add_storage(storage)
    manager.update_configuration(CONFIGURATION)
    return manager


@pytest.fixture
def triggers(plugins):
    """Return a function that runs the command line, and gives what it printed."""

    def triggers(*arguments):
        invoked = CliRunner().invoke(commands.build(plugins), arguments)
        assert invoked.exit_code == 0, invoked.output
        return invoked.output

    return triggers


def make_ready(case):
    case.fire("applied")
    case.fire("fee_paid")


def claim_and_vanish(runner, tasks, task=None):
    """Play a worker that claims the instance and is never heard of again."""

    class Vanished(BaseException):
        pass

    @(task or trigger_task)
    def vanish(context):
        raise Vanished

    tasks["close"] = vanish
    context_of_the_end = pytest.MonkeyPatch.context()
    with context_of_the_end as patch, pytest.raises(Vanished):
        patch.setattr("triggers_core.worker.execution._fail", lambda *_: None)
        runner.work_once()


def test_it_waits_for_a_trigger_and_has_taken_others(case, storage, triggers):
    case.fire("applied")
    storage.advance(3 * 3600)

    told = triggers("why", "s", "t_close")

    assert re.search(r"t_close#0 waits since 20\d\d-\d\d-\d\d [\d:]{8} UTC \(3.0 h\)", told)
    assert "it has taken applied" in told
    assert "waits for 'fee_paid', which has not fired" in told
    assert "withdrawn" not in told  # it does not wait for that


def test_a_trigger_that_was_fired_and_is_named_alike_is_told(case, triggers):
    case.fire("applied")
    case.fire("fee_pyad")  # a name of its own: the log warns of each once in a process

    told = triggers("why", "s", "t_close")

    assert (
        "waits for 'fee_paid', which has not fired; 'fee_pyad' has, and no task waits for that: "
        "is one misspelt?"
    ) in told


def test_it_has_not_begun(case, triggers):
    told = triggers("why", "s", "t_archive")

    assert "t_archive has not begun: none of its triggers has fired" in told
    assert "t_close has not begun" in told
    assert "waits for 'applied', which has not fired" in told


def test_its_triggers_fired_before_it_was_configured(manager, plugins, storage, triggers):
    plugins.add_storage(storage)
    manager.fire("applied")
    manager.update_configuration(CONFIGURATION)

    told = triggers("why", "s", "t_close")

    assert "applied fired before the task was configured" in told
    assert "waits for 'fee_paid', which has not fired" in told
    assert "waits for 'applied'" not in told


def test_what_it_waits_for_is_said_by_the_configuration_that_it_lives_by(case, triggers):
    case.fire("applied")
    case.update_configuration({"t_close": {"after": ["applied", "stamped"], "run": "close"}})

    told = triggers("why", "s", "t_close")

    assert "waits for 'fee_paid'" in told
    assert "stamped" not in told


def test_the_task_before_it_failed_and_the_advice_can_be_typed(case, runner, tasks, triggers):
    tasks["close"] = break_down
    make_ready(case)
    runner.work()

    told = triggers("why", "s", "t_archive")

    assert re.search(r"t_close#0 failed at .* UTC \(0 s ago\): RuntimeError: the register", told)
    assert "it logged WARNING: the register was slow" in told
    assert "\nt_close#0: Traceback (most recent call last):\n" in told
    assert 'raise RuntimeError("the register is down [503]")' in told
    skip, replay = (
        re.search(rf"triggers ({verb} .*)", told)[1].strip() for verb in ("skip", "replay")
    )
    assert "t_close#0 is replayed as t_close#1" in triggers(*shlex.split(replay))
    runner.work()
    triggers(*shlex.split(skip.replace("#0", "#1")))
    assert [instance.name for instance in case.instances("t_archive")] == ["t_archive#0"]


def test_somebody_has_dealt_with_a_failure(case, runner, tasks, triggers):
    tasks["close"] = break_down
    make_ready(case)
    runner.work()
    case.mark_instance_logs_resolved("t_close#0")

    assert "somebody has marked this as resolved" in triggers("why", "s", "t_close")


def test_it_is_scheduled_and_no_worker_has_claimed_it(case, storage, triggers):
    make_ready(case)
    storage.advance(60)

    told = triggers("why", "s", "t_close")

    assert "t_close#0 is scheduled since" in told
    assert "no worker has claimed it" in told
    assert "the runner 'held' was given it: is one of its workers there, and free?" in told
    assert "recovery sends it again in 4.0 min" in told


def test_its_message_is_lost_and_recovery_does_not_run(case, storage, triggers):
    make_ready(case)
    storage.advance(case.dispatch_timeout + 7200)

    told = triggers("why", "s", "t_close")

    assert "its message to the runner 'held' is lost, or no worker takes it" in told
    assert "recovery is to send it again since 2.0 h: does `triggers recover` run?" in told
    assert "claimed by no worker" in triggers("show", "s")


def test_it_waits_for_the_end_of_its_cooldown(case, runner, tasks, storage, triggers):
    tasks["close"] = at_second_try
    make_ready(case)
    runner.work_once()
    storage.advance(300)

    told = triggers("why", "s", "t_close")

    assert re.search(
        r"t_close#1 is delayed until 20.* UTC \(another (5.0 min|300 s)\), attempt 2", told
    )
    assert "it retries t_close#0, which ended with TimeoutError: the register sleeps" in told
    assert "the runner 'held' starts it then" in told
    assert "delayed for another" in triggers("show", "s")


def test_its_runner_is_not_installed_here(case, storage, triggers):
    make_ready(case)
    elsewhere = Plugins(load_entry_points=False)
    elsewhere.managers.add(type(case))
    elsewhere.add_storage(storage)

    told = CliRunner().invoke(commands.build(elsewhere), ["why", "s", "t_close"]).output

    assert "it reaches no runner from here: no task runner 'held' is registered" in told
    assert "install the distribution that registers it" in told


def test_the_class_of_its_manager_is_not_known_here(case, storage):
    make_ready(case)
    elsewhere = Plugins(load_entry_points=False)
    elsewhere.managers.add(TriggerManager)
    elsewhere.add_storage(storage)

    told = CliRunner().invoke(commands.build(elsewhere), ["why", "s", "t_close"]).output

    assert "no worker has claimed it" in told
    assert "no manager 'tested' is registered" in told
    assert "--import the application's module that adds it" in told


def test_it_runs_and_its_worker_is_alive(case, runner, tasks, triggers):
    told = []

    @trigger_task
    def ask(context):
        told.append(triggers("why", "s", "t_close"))

    tasks["close"] = ask
    make_ready(case)
    runner.work_once()

    assert "t_close#0 is running since" in told[0]
    assert "its worker is alive: the lease was renewed, and holds for" in told[0]


@pytest.mark.parametrize(
    ("on_worker_lost", "then"),
    [("rerun", "starts it again"), ("fail", "records it as failed, without a rerun")],
)
def test_its_worker_is_lost(case, runner, tasks, storage, triggers, on_worker_lost, then):
    make_ready(case)
    claim_and_vanish(runner, tasks, trigger_task(on_worker_lost=on_worker_lost))
    storage.advance(case.lease_duration + 120)

    told = triggers("why", "s", "t_close")

    assert "but its worker is lost" in told
    assert "the worker gave no sign of life until its lease ran out, 2.0 min ago" in told
    assert f"recovery {then}: does `triggers recover` run?" in told
    assert "worker lost" in triggers("show", "s")
    recover_once(storage, plugins=case.plugins)
    told = triggers("why", "s", "t_close#0")
    assert "WorkerLost" in told
    assert ("t_close#1 stands in for it" in told) == (on_worker_lost == "rerun")


def test_it_is_abandoned(case, triggers):
    case.fire("withdrawn")

    told = triggers("why", "s", "t_close")

    assert re.search(r"t_close#0 was abandoned at .*: withdrawn fired first, and it never", told)


def test_it_was_skipped_and_the_advice_can_be_typed(case, runner, tasks, triggers):
    tasks["close"], tasks["archive"] = give_up, give_up
    make_ready(case)
    runner.work()

    told = triggers("why", "s", "t_archive")

    assert "t_close#0 was skipped at" in told
    assert "it was skipped without a cascade" in told
    triggers(*shlex.split(re.search(r"triggers (fire .*)", told)[1]))
    assert "t_archive#0 is scheduled" in triggers("why", "s", "t_archive")


def test_of_many_instances_those_are_told_of_that_ask_for_it(manager, plugins, storage, triggers):
    plugins.add_storage(storage)
    manager.update_configuration(
        {"t_photo": {"after": ["opened"], "andEvery": "photo", "run": "x", "unless": ["closed"]}}
    )
    for _ in range(30):
        manager.fire("photo")
    manager.fire("closed")
    manager.fire("photo")
    told = triggers("why", "s", "t_photo")
    assert "t_photo has 31 instances: 31 abandoned" in told
    assert told.count("t_photo#") == 1

    manager.update_configuration(
        {"t_photo": {"after": ["opened"], "andEvery": "photo", "run": "x"}}
    )
    for _ in range(30):
        manager.fire("photo")
    told = triggers("why", "s", "t_photo")
    assert "t_photo has 61 instances: 30 unstarted, 31 abandoned" in told
    assert told.count("waits since") == 10


def test_a_task_is_explained_once_however_many_wait_for_it(manager, plugins, storage, triggers):
    plugins.add_storage(storage)
    manager.update_configuration(
        {
            "t_a": {"after": ["go"], "run": "x"},
            "t_left": {"after": ["t_a"], "run": "x"},
            "t_right": {"after": ["t_a"], "run": "x"},
            "t_end": {"after": ["t_left", "t_right"], "run": "x"},
        }
    )

    told = triggers("why", "s", "t_end")

    assert told.count("waits for 'go', which has not fired") == 1
    assert told.count("t_a: see above") == 1


def test_tasks_that_wait_for_each_other_come_to_an_end(manager, plugins, storage, triggers):
    plugins.add_storage(storage)
    manager.update_configuration(
        {"t_a": {"after": ["t_b"], "run": "x"}, "t_b": {"after": ["t_a"], "run": "x"}}
    )

    assert "t_a: see above" in triggers("why", "s", "t_a")


def test_names_that_look_like_markup_are_shown_as_they_are(manager, plugins, storage, triggers):
    plugins.add_storage(storage)
    manager.update_configuration({"t_[red]": {"after": ["[bold]x[/]", "y"], "run": "x"}})
    manager.fire("y")

    assert "waits for '[bold]x[/]', which has not fired" in triggers("why", "s", "t_[red]")


def test_a_task_that_is_not_there(case, plugins):
    invoked = CliRunner().invoke(commands.build(plugins), ["why", "s", "t_clsoe"])

    assert invoked.exit_code == 1
    assert "no task or instance 't_clsoe'; its tasks are: t_close, t_archive" in invoked.stderr


def test_a_session_that_is_not_there(case, plugins):
    invoked = CliRunner().invoke(commands.build(plugins), ["why", "nosuch", "t_close"])

    assert invoked.exit_code == 1
    assert "no session 'nosuch'; `triggers sessions` lists those it has" in invoked.stderr


def test_a_long_chain_of_tasks_is_told_as_far_as_anybody_reads(case, triggers):
    names = [f"t{number}" for number in range(500)]
    case.update_configuration(
        {
            name: {"after": [before], "run": "archive"}
            for before, name in zip(["start", *names], names, strict=False)
        }
    )

    told = triggers("why", "s", names[-1])

    assert "t449 has not begun" in told
    assert "t448: and so on; ask why of it by itself" in told
    assert "waits for 'start', which has not fired" in triggers("why", "s", "t49")


def test_names_that_begin_as_options_do_are_advised_after_two_dashes(
    make_manager, plugins, storage, tasks, runner, triggers
):
    plugins.add_storage(storage)
    tasks["close"] = break_down
    case = make_manager("--case")
    case.update_configuration(
        {
            "-close": {"after": ["applied"], "run": "close"},
            "-archive": {"after": ["-close"], "run": "close"},
        }
    )
    case.fire("applied")
    runner.work()

    told = triggers("why", "--", "--case", "-close")

    skip = re.search(r"triggers (skip .*)", told)[1]
    assert skip == "skip --result '{}' -- --case '-close#0'"
    triggers("skip", "--", "--case", "-close#0")
    assert "needs triggers fire -- --case -close" in triggers("why", "--", "--case", "-close")
