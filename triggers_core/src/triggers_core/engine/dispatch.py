"""From a scheduled instance to its runner: choose one, hand over (section 3, "Choosing")."""

from __future__ import annotations

from collections.abc import Sequence

from triggers_core.engine.extensions import Runner
from triggers_core.engine.session import Session
from triggers_core.errors import DispatchError
from triggers_core.rules.instance import TaskInstance


def dispatch(session: Session, instances: Sequence[TaskInstance]) -> None:
    """Hand each instance to its runner; one that fails does not keep the others back.

    Raises:
        DispatchError: it names the instances that were not accepted; caused by the first error.
    """
    errors: dict[str, Exception] = {}
    for instance in instances:
        try:
            runner = select_runner(session, instance)
            session.plugins.hook.triggers_run(
                runner=runner, manager=session, task_instance=instance
            )
        except Exception as error:
            errors[instance.name] = error
    if errors:
        first = next(iter(errors.values()))
        raise DispatchError(
            f"session {session.session_uid!r}: {', '.join(errors)} did not reach a runner "
            f"({first}). What was fired is recorded: do not fire it again; "
            "'recover' will send what is scheduled",
            errors,
        ) from first


def select_runner(session: Session, instance: TaskInstance) -> Runner:
    """Return the instance's runner: ``using``, else the hook's choice, else the default.

    Raises:
        RunnerNotFound: it is not installed; the message names the task and what is installed.
        PluginError: it is installed, but wrongly.
    """
    config = session.task_config(instance)
    name = (
        config.using
        or session.plugins.hook.triggers_select_runner(
            manager=session, task_config=config, task_instance=instance
        )
        or session.default_task_runner_name
    )
    return session.plugins.runner(name, f"task {instance.task_name!r}")
