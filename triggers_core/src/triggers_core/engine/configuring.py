"""A session's configuration changed, and what becomes of the instances that wait.

All of it is decided from what is read, and then written in one go: so it can be tried as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from triggers_core.engine.change import change
from triggers_core.engine.effects import earlier
from triggers_core.engine.notices import tell_of_unclaimed
from triggers_core.engine.outcome import ConfigurationOutcome
from triggers_core.engine.session import Session
from triggers_core.engine.work import Work, check_open
from triggers_core.errors import ConfigurationError, InvalidTransition, TaskNotFound
from triggers_core.rules import join
from triggers_core.rules.config import Configuration, NotesUnclaimed, TaskConfig
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.rules.names import shown
from triggers_core.rules.remarks import remark
from triggers_core.storage.base import SessionReader

RETIRED = "its task was taken out of the configuration"
"""The reason of an abandonment that nobody gave another one for."""

Step = tuple[TaskInstance, TaskInstance]
"""An unstarted instance, and what it becomes."""


class Request(NamedTuple):
    """What was asked for, and found to be right.

    Attributes:
        tasks: to add, or to replace those of the same name by.
        replace: whether all others are to be taken out.
        retire: names of tasks to take out.
        update_instances: whether unstarted instances are to live by the new directives.
        parting: the remark with which those of no task are abandoned; None to keep them.
    """

    tasks: Configuration
    replace: bool
    retire: frozenset[str]
    update_instances: bool
    parting: Mapping[str, str] | None

    @property
    def concerns_instances(self) -> bool:
        """Whether it is to be looked at instances. Else the cost is the same in any session."""
        return bool(self.replace or self.retire or self.update_instances or self.parting)

    def applied_to(self, before: Configuration) -> Configuration:
        """Return the configuration that the session is to have."""
        return (self.tasks if self.replace else before.updated(self.tasks)).without(self.retire)


class _Plan(NamedTuple):
    configuration: Configuration
    steps: tuple[Step, ...]
    outcome: ConfigurationOutcome


def request(
    session: Session,
    configuration: Mapping[str, Mapping[str, Any]],
    *,
    replace: bool,
    retire: Collection[str],
    abandon_retired: bool,
    update_instances: bool,
    reason: str | None,
    by: str | None,
) -> Request:
    """Return what is asked for, checked. Raises as
    :meth:`triggers_core.TriggerManager.update_configuration` does."""
    validate = NotesUnclaimed(session.plugins.validate_directive)
    tasks = Configuration.parse(configuration, validate)
    for task in tasks.values():
        session.plugins.check_target(task.run, f"task {task.name!r}")
        runner_name = _runner_name(session, task)
        _check_runner(session, runner_name, f"task {task.name!r}")
        session.plugins.check_task(task, runner_name)
    tell_of_unclaimed(validate.found)
    why = remark(reason, by, "update_configuration")
    if why and not abandon_retired:
        raise ConfigurationError(
            "a reason, and who gave it, are kept with the instances that abandon_retired=True "
            "abandons: ask for that too, or leave them out"
        )
    return Request(
        tasks,
        replace,
        _names_to_retire(retire, tasks),
        update_instances,
        {"reason": RETIRED, **why} if abandon_retired else None,
    )


def update_configuration(session: Session, asked: Request) -> ConfigurationOutcome:
    """See :meth:`triggers_core.TriggerManager.update_configuration`."""

    def configure(work: Work) -> ConfigurationOutcome:
        work.check_open()
        instances = _waiting(work.unit) if asked.concerns_instances else ()
        plan = _planned(session, asked, work.unit, instances, at=work.at)
        newly_counted = plan.configuration.counted - work.unit.configuration().counted
        work.unit.configure(plan.configuration)
        for trigger_name in sorted(newly_counted):
            work.unit.log_latest(trigger_name)
        for before, after in plan.steps:
            work.save(after, before.status)
        return plan.outcome

    return change(session, configure)


def preview(session: Session, asked: Request) -> ConfigurationOutcome:
    """Return what :func:`update_configuration` would do. Changes nothing."""
    with session.storage.read(session.session_uid) as reader:
        check_open(session.session_uid, reader.closing())
        at = session.storage.now()
        return _planned(session, asked, reader, _waiting(reader), at=at).outcome


def update_instance(session: Session, name: str) -> TaskInstance:
    """See :meth:`triggers_core.TriggerManager.update_instance_configuration`."""

    def update(work: Work) -> TaskInstance:
        work.check_open()
        found = work.find(name)
        if found.status is not Status.UNSTARTED:
            raise InvalidTransition(
                f"instance {name} is {found.status}; only an unstarted one can be taken over to "
                "another configuration"
            )
        configuration = work.unit.configuration()
        if found.task_name not in configuration:
            raise TaskNotFound(
                f"instance {name}: session {session.session_uid!r} has no task "
                f"{found.task_name!r} any more; abandon_instance gives the instance up"
            )
        if configuration[found.task_name] == work.task_config(found):
            return found
        return work.save(_taken_over(found, configuration, work.unit, at=work.at), found.status)

    return change(session, update)


def _planned(
    session: Session,
    asked: Request,
    reader: SessionReader,
    waiting: Iterable[TaskInstance],
    *,
    at: float,
) -> _Plan:
    before = reader.configuration()
    after = asked.applied_to(before)
    steps: list[Step] = []
    kept: list[TaskInstance] = []
    for instance in waiting:
        config = after.get(instance.task_name)
        if config == session.task_config(instance):
            continue
        if config is None and asked.parting is not None:
            given_up = instance.with_remark(asked.parting).to(Status.ABANDONED, at=at)
            steps.append((instance, given_up))
        elif config is not None and asked.update_instances:
            steps.append((instance, _taken_over(instance, after, reader, at=at)))
        else:
            kept.append(instance)
    return _Plan(after, tuple(steps), _outcome(before, after, steps, kept))


def _outcome(
    before: Configuration, after: Configuration, steps: list[Step], kept: list[TaskInstance]
) -> ConfigurationOutcome:
    results = [result for _, result in steps]
    retired = tuple(name for name in before if name not in after)
    gone = _fired_no_more(before, after)
    return ConfigurationOutcome(
        added=tuple(name for name in after if name not in before),
        replaced=tuple(name for name in after if name in before and after[name] != before[name]),
        retired=retired,
        updated=_instances(each for each in results if each.task_name in after),
        scheduled=_instances(each for each in results if each.status is Status.SCHEDULED),
        abandoned=_instances(each for each in results if each.status is Status.ABANDONED),
        kept=_instances(kept),
        stranded=tuple(
            task.name
            for task in after.values()
            if not task.may_start(lambda trigger_name: trigger_name not in gone)
        ),
    )


def _fired_no_more(before: Configuration, after: Configuration) -> set[str]:
    """Return the triggers that only the ends and failures of tasks fired which are taken out."""
    ends = {*before, *before.failing}
    return ends - {*after, *after.failing}


def _taken_over(
    instance: TaskInstance, configuration: Configuration, reader: SessionReader, *, at: float
) -> TaskInstance:
    config = configuration[instance.task_name]
    before = earlier(reader, config, join.missing_to(instance, config))
    return join.take_over(instance, config, configuration.digest, before, at=at)


def _waiting(reader: SessionReader) -> list[TaskInstance]:
    return reader.instances(statuses={Status.UNSTARTED})


def _instances(instances: Iterable[TaskInstance]) -> tuple[str, ...]:
    return tuple(instance.name for instance in instances)


def _names_to_retire(retire: Collection[str], tasks: Configuration) -> frozenset[str]:
    if isinstance(retire, str) or not isinstance(retire, Collection):
        raise ConfigurationError(
            f"retire: expected a list of task names, not {shown(retire)}"
            + (f"; write [{shown(retire)}]" if isinstance(retire, str) else "")
        )
    for name in retire:
        if not isinstance(name, str):
            raise ConfigurationError(f"retire: expected task names, not {shown(name)}")
        if name in tasks:
            raise ConfigurationError(
                f"task {name!r} is both configured and to be retired; leave one of the two out"
            )
    return frozenset(retire)


def _runner_name(session: Session, task: TaskConfig) -> str | None:
    """Return the runner that the task is for; None where a plugin chooses it for an instance."""
    if task.using is None and session.plugins.has_hook("triggers_select_runner"):
        return None
    return task.using or session.default_task_runner_name


def _check_runner(session: Session, name: str | None, asked_by: str) -> None:
    if name is None:
        return
    session.plugins.check_runner(name, asked_by)
    if not session.has_own_name:
        runner = session.plugins.runner(name, asked_by)
        if "remote" in runner.capabilities:
            session.check_has_own_name()
