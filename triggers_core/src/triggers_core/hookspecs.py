"""Every extension point of triggers.

A plugin is any object or module with functions marked by :data:`hookimpl`, under the entry-point
group ``triggers.plugins`` or given to :meth:`triggers_core.Plugins.register`. A hookimpl may
leave out arguments that it does not need.

Side: *application* is the process that fires; *worker* is the one that runs a task, which then
fires its cascade and so acts as an application too.

Observers run after commit and outside every lock. What one raises is logged with the plugin's
name; the others are still called, and nothing is undone. They cannot be wrappers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

from triggers_core.engine.outcome import FireOutcome
from triggers_core.manager import TriggerManager
from triggers_core.rules.closing import Closing
from triggers_core.rules.config import TaskConfig
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.kwargs import Result
from triggers_core.runner import BaseTaskRunner
from triggers_core.task import TaskContext, TriggerTask

PROJECT_NAME = "triggers"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


@hookspec
def triggers_runners() -> Sequence[type[BaseTaskRunner]]:  # type: ignore[empty-body]
    """Offer runner classes that have no entry point of their own.

    Called on both sides, once for each registered plugin, when it is registered; it cannot be a
    wrapper. An exception is raised from the registration as ``PluginError``, and the plugin is
    not registered.
    """


@hookspec(firstresult=True)
def triggers_select_runner(
    manager: TriggerManager, task_config: TaskConfig, task_instance: TaskInstance
) -> str | None:
    """Choose the runner of an instance whose task has no ``using``; None leaves it to others.

    Return a runner's name. Called by whoever dispatches, on either side, after commit, outside
    the transaction. An exception makes the dispatch fail: ``DispatchError``, and ``recover``
    tries again.
    """


@hookspec(firstresult=True)
def triggers_run(
    runner: BaseTaskRunner, manager: TriggerManager, task_instance: TaskInstance
) -> bool | None:
    """Hand an instance to its runner; wrap it to trace, throttle or redirect.

    The core's own implementation, which comes last, calls ``runner.run`` and returns True.
    Called by whoever dispatches, on either side, after commit, outside the transaction. An
    exception makes the dispatch fail: ``DispatchError``, and ``recover`` tries again.
    """


@hookspec(firstresult=True)
def triggers_resolve_task(manager: TriggerManager, target: str) -> TriggerTask | None:
    """Return the task that a ``run`` target names; None leaves it to others.

    The core's own implementation, which comes last, imports the dotted name. Called on the
    worker before the claim, outside the transaction; so for a duplicate message too. An
    exception, or an answer that is no task, makes the instance ``failed`` once it is claimed.
    """


@hookspec(firstresult=True)
def triggers_execute(context: TaskContext, task: TriggerTask) -> Result:
    """Run the task; wrap it to trace, time or set up what tasks need.

    The core's own implementation, which comes last, returns ``task.run(context)``. Called on
    the worker after the claim, outside the transaction. An exception makes the instance
    ``failed``. ``context.retry()`` and ``context.skip()`` pass through wrappers as a
    ``TaskInterruption``; let it pass.
    """


@hookspec
def triggers_fired(
    manager: TriggerManager,
    trigger_name: str,
    trigger_kwargs: Mapping[str, Any],
    outcome: FireOutcome,
) -> None:
    """Observe a trigger that was fired, cascades included.

    Called on the side that fired, once for each trigger recorded (not for a repeated
    ``event_id``), before the scheduled instances are dispatched.
    """


@hookspec
def triggers_status_changed(
    manager: TriggerManager, task_instance: TaskInstance, old_status: Status | None
) -> None:
    """Observe an instance in a new status; ``old_status`` is None for one just made.

    Called on the side that changed it. An instance that one trigger makes and readies is
    reported once, as scheduled.
    """


@hookspec
def triggers_replayed(
    manager: TriggerManager, task_instance: TaskInstance, clone: TaskInstance
) -> None:
    """Observe an instance that was replayed, by a retry or by hand, and the clone that runs now.

    Called on the worker for a retry, on the application's side for a replay by hand.
    """


@hookspec
def triggers_skipped(manager: TriggerManager, task_instance: TaskInstance) -> None:
    """Observe an instance that was skipped, by its task or by hand.

    Called on the worker for ``context.skip()``, on the application's side for
    ``skip_failed_instance``.
    """


@hookspec
def triggers_closed(manager: TriggerManager, closing: Closing) -> None:
    """Observe a session that was cancelled or closed: ``closing`` says how, why and by whom.

    Called once for a session, on the side that did it, after ``triggers_status_changed`` of each
    instance that was abandoned with it. What still runs has not ended yet.
    """


@hookspec
def triggers_settled(manager: TriggerManager) -> None:
    """Observe a session in which no instance is scheduled or running any more.

    Called once each time the last such instance ends or is abandoned, on the side that did it.
    """


@hookspec(firstresult=True)
def triggers_validate_directive(task_name: str, directive: str, value: Any) -> bool | None:
    """Claim a directive that the core does not know (rule C7), and check its value.

    Return True to claim it, None to leave it to others. Raise ValueError, saying what was
    expected, when the value is wrong: ``update_configuration`` then raises
    ``ConfigurationError`` and changes nothing. Called on the application's side, outside the
    transaction. The value is in ``task_config.extras``.
    """


@hookspec
def triggers_check_task(task_config: TaskConfig, runner_name: str | None) -> None:
    """Refuse a task that can never run, before anything is started by it.

    Called by ``update_configuration`` and ``triggers check`` for each task of the configuration
    that is given, once its directives are found valid; on the application's side, outside the
    transaction. ``runner_name`` is its ``using``, else the default runner; None where a plugin
    chooses. Raise ValueError, saying what to write instead: ``update_configuration`` then raises
    ``ConfigurationError`` and changes nothing. Accept what only another process may know.
    """


@hookspec
def triggers_register_commands(cli: Any) -> None:
    """Add commands to the ``triggers`` command line, a ``typer.Typer``.

    Called once, when the command line starts; it cannot be a wrapper. An exception is told, and
    the command line goes on without the plugin's commands.
    """
