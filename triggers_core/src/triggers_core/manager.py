"""The application's side: fire triggers into a session, and mend what failed in it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from triggers_core.config import Configuration, TaskConfig
from triggers_core.errors import InstanceNotFound, InvalidKwargs, InvalidTransition, StorageError
from triggers_core.instance import Status, TaskInstance, split_instance_name
from triggers_core.kwargs import encode_kwargs
from triggers_core.names import check_name, shown
from triggers_core.plugins import Plugins, default_plugins
from triggers_core.storage.base import Storage
from triggers_core.task import Result, TriggerTask
from triggers_core.work import FireOutcome, Work, change

Firing = (
    tuple[str]
    | tuple[str, Mapping[str, Any] | None]
    | tuple[str, Mapping[str, Any] | None, str | None]
)
"""A trigger's name, with its kwargs, with an ``event_id``."""
_LONGEST_FIRING = 3


class TriggerManager:
    """One session: fire into it, look at it, mend it. Thread-safe; keeps no state of its own.

    Subclass it, with a ``name`` of its own, to change what it does or the runner that it
    prefers; register the subclass in the entry-point group ``triggers.managers`` under that
    name, so that workers open sessions with it too.

    Args:
        session_uid: which session; it is made by the first change.
        storage: where it is kept; None for the storage that the environment variable
            ``TRIGGERS_STORAGE`` names.
        plugins: the plugins to use; None for this process's :func:`default_plugins`.

    Attributes:
        name: equal to the entry point's name; messages to workers carry it.
        default_task_runner_name: the runner of tasks without ``using``, unless a plugin chooses.
        dispatch_timeout: seconds after which a scheduled instance that no worker claimed is
            dispatched again by recovery. A queue may be longer: a worker that meets the second
            message drops it.
        lease_duration: seconds after which a worker that gave no sign of life counts as lost.
            It renews its lease three times in that span.

    Raises:
        InvalidName: the session uid cannot be used.
        StorageNotFound: no storage was given, and none is named.
        StorageError: what was given is no storage.
    """

    name: ClassVar[str] = "triggers"
    default_task_runner_name: ClassVar[str] = "celery"
    dispatch_timeout: ClassVar[float] = 300.0
    lease_duration: ClassVar[float] = 60.0

    def __init__(
        self,
        session_uid: str,
        *,
        storage: Storage | None = None,
        plugins: Plugins | None = None,
    ) -> None:
        self.session_uid = check_name(session_uid, "session")
        self.plugins = default_plugins() if plugins is None else plugins
        self.storage = self.plugins.storage() if storage is None else storage
        if not isinstance(self.storage, Storage):
            raise StorageError(
                f"session {session_uid!r}: expected a triggers_core.Storage, not {shown(storage)}; "
                "plugins.open_storage('sqlite:///triggers.db') returns one"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_uid!r})"

    def update_configuration(self, configuration: Mapping[str, Mapping[str, Any]]) -> None:
        """Add tasks to the session's configuration, or replace those of the same name.

        All or nothing (C8). Triggers fired before are not applied again: a task that is new
        sees them when its first instance is made. Instances that exist keep the configuration
        that they were made under.

        Raises:
            ConfigurationError: a rule is broken; it names the task and the directive.
            RunnerNotFound: a task's ``using``, or the default runner where a task needs it, is
                not installed.
            StorageError: the store cannot be used.
        """
        parsed = Configuration.parse(configuration, self.plugins.validate_directive)
        for task in parsed.values():
            self._check_runner(task)

        def configure(work: Work) -> None:
            work.unit.configure(work.unit.configuration().updated(parsed))

        change(self, configure)

    def fire(
        self,
        trigger_name: str,
        trigger_kwargs: Mapping[str, Any] | None = None,
        *,
        event_id: str | None = None,
    ) -> FireOutcome:
        """Fire a trigger: record it, and start whatever it makes ready.

        Atomic: it happens wholly or not at all. Fires on one session, from any number of
        threads, processes and machines, equal some serial order (F9).

        Args:
            trigger_name: any name; one that no task awaits is recorded all the same.
            trigger_kwargs: a mapping of JSON values; None for none.
            event_id: an idempotency key; a second fire with it changes nothing and returns
                what the first one did (F6).

        Raises:
            InvalidName, InvalidKwargs: nothing was changed.
            StorageError: nothing was changed.
            DispatchError: the trigger *is* recorded, and must not be fired again.
        """
        return self.fire_many([(trigger_name, trigger_kwargs, event_id)])[0]

    def fire_many(self, firings: Iterable[Firing]) -> list[FireOutcome]:
        """Fire several triggers, in order, in one transaction.

        The outcomes are those of :meth:`fire` for each, one after the other; but either all of
        them happen or none, and what becomes ready is dispatched after the last.

        Args:
            firings: ``(trigger_name,)``, ``(trigger_name, trigger_kwargs)`` or ``(trigger_name,
                trigger_kwargs, event_id)``.

        Raises:
            InvalidName, InvalidKwargs: one of them is wrong; nothing was changed.
            StorageError: nothing was changed.
            DispatchError: all of them *are* recorded, and must not be fired again.
        """
        if not isinstance(firings, Iterable):
            raise InvalidKwargs(f"expected firings to iterate over, not {shown(firings)}")
        checked = [_checked(*_as_firing(firing)) for firing in firings]
        return change(self, lambda work: [_fire(work, *firing) for firing in checked])

    def replay_failed_instance(
        self,
        instance: TaskInstance | str,
        replacement_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> TaskInstance:
        """Run a failed instance again, as a new instance; return that clone, scheduled.

        The clone starts at attempt 1 and runs by the task's present configuration, so that a
        mended ``run`` or ``withParams`` applies.

        Args:
            instance: the instance or its name.
            replacement_kwargs: trigger name → kwargs, in place of what the instance took of
                these triggers.

        Raises:
            InstanceNotFound: there is none of that name.
            InvalidTransition: it is not failed.
            InvalidKwargs: the replacement is no such mapping, or names a trigger that the
                instance did not take.
            DispatchError: the replay is recorded, but the clone reached no runner.
        """
        name = self._name_of(instance)
        replacement = _replacement(name, replacement_kwargs)

        def replay(work: Work) -> TaskInstance:
            failed = _failed(work.find(name), "replayed")
            unknown = sorted(map(repr, replacement.keys() - failed.trigger_kwargs.keys()))
            if unknown:
                raise InvalidKwargs(
                    f"instance {name}: cannot replace the kwargs of {unknown[0]}, which it "
                    f"did not take; it took {', '.join(sorted(failed.trigger_kwargs))}"
                )
            return work.replay(
                failed,
                attempt=1,
                config_digest=work.unit.configuration().digest,
                trigger_kwargs=replacement,
            )

        return change(self, replay)

    def skip_failed_instance(
        self, instance: TaskInstance | str, *, cascade: bool = False, result: Result = None
    ) -> TaskInstance:
        """Give up a failed instance; return it, skipped.

        Args:
            instance: the instance or its name.
            cascade: fire the trigger named after the task, as if it had finished.
            result: the kwargs of that cascade.

        Raises:
            InstanceNotFound: there is none of that name.
            InvalidTransition: it is not failed.
            InvalidKwargs: ``result`` is no mapping of JSON values, or has no cascade to go in.
            DispatchError: the skip is recorded, but an instance reached no runner.
        """
        name = self._name_of(instance)
        kwargs = json.loads(encode_kwargs(result, f"instance {name}, result"))
        if result is not None and not cascade:
            raise InvalidKwargs(f"instance {name}: a result needs cascade=True to go anywhere")
        return change(
            self,
            lambda work: work.skip(
                _failed(work.find(name), "skipped"), cascade=cascade, result=kwargs
            ),
        )

    def mark_instance_logs_resolved(self, instance: TaskInstance | str) -> TaskInstance:
        """Note that a person has dealt with an instance's error or warnings; return it.

        Idempotent. The status stays as it is, and what it logs afterwards is unresolved again.

        Raises:
            InstanceNotFound: there is none of that name.
        """
        name = self._name_of(instance)

        def resolve(work: Work) -> TaskInstance:
            found = work.find(name)
            if found.is_resolved:
                return found
            resolved = found.with_metadata(logs_resolved=True)
            work.keep(resolved)
            return resolved

        return change(self, resolve)

    def instance(self, name: str) -> TaskInstance:
        """Return one instance (``"t_task#0"``) as it stands. Raises InstanceNotFound."""
        with self.storage.read(self.session_uid) as reader:
            found = reader.instance(*split_instance_name(name))
        if found is None:
            raise InstanceNotFound(f"session {self.session_uid!r} has no instance {name!r}")
        return found

    def instances(
        self, task_name: str | None = None, *, statuses: Collection[Status] | None = None
    ) -> list[TaskInstance]:
        """Return the session's instances, by task name and number.

        Args:
            task_name: only this task's.
            statuses: only those that stand so.

        Raises:
            InvalidName: no task can have that name.
        """
        if task_name is not None:
            check_name(task_name, "task")
        with self.storage.read(self.session_uid) as reader:
            return reader.instances(task_name=task_name, statuses=statuses)

    def unresolved_instances(self) -> list[TaskInstance]:
        """Return the instances that failed or logged a warning, and that nobody has resolved."""
        return [instance for instance in self.instances() if not instance.is_resolved]

    def configuration(self) -> Configuration:
        """Return the session's present configuration."""
        with self.storage.read(self.session_uid) as reader:
            return reader.configuration()

    def task_config(self, instance: TaskInstance) -> TaskConfig:
        """Return the configuration that an instance lives by."""
        return self.storage.task_config(instance)

    def resolve(self, instance: TaskInstance) -> TriggerTask:
        """Return the task that an instance runs.

        Raises:
            TaskNotFound: its ``run`` target leads nowhere.
            ConfigurationError: it leads to something that is no task.
        """
        target = self.task_config(instance).run
        found: TriggerTask = self.plugins.hook.triggers_resolve_task(manager=self, target=target)
        return found

    def _name_of(self, instance: TaskInstance | str) -> str:
        if not isinstance(instance, TaskInstance):
            split_instance_name(instance)
            return instance
        if instance.session_uid != self.session_uid:
            raise InstanceNotFound(
                f"instance {instance.name} is of session {instance.session_uid!r}, and this "
                f"manager is of {self.session_uid!r}"
            )
        return instance.name

    def _check_runner(self, task: TaskConfig) -> None:
        if task.using is not None:
            self.plugins.check_runner(task.using, f"task {task.name!r}")
        elif not self.plugins.has_hook("triggers_select_runner"):
            self.plugins.check_runner(self.default_task_runner_name, f"task {task.name!r}")


def _as_firing(firing: Any) -> Firing:
    if isinstance(firing, (tuple, list)) and 1 <= len(firing) <= _LONGEST_FIRING:
        checked: Firing = tuple(firing)
        return checked
    raise InvalidKwargs(
        f"a firing is (trigger_name, trigger_kwargs, event_id), the last two optional, "
        f"not {shown(firing)}"
    )


def _checked(
    trigger_name: str,
    trigger_kwargs: Mapping[str, Any] | None = None,
    event_id: str | None = None,
) -> tuple[str, dict[str, Any], str | None]:
    check_name(trigger_name, "trigger")
    kwargs = json.loads(encode_kwargs(trigger_kwargs, f"trigger {trigger_name!r}"))
    if event_id is not None:
        check_name(event_id, "event")
    return trigger_name, kwargs, event_id


def _fire(
    work: Work, trigger_name: str, trigger_kwargs: dict[str, Any], event_id: str | None
) -> FireOutcome:
    if event_id is None:
        return work.fire(trigger_name, trigger_kwargs)
    first = work.unit.outcome(event_id)
    if first is not None:
        return FireOutcome.from_dict(first)
    outcome = work.fire(trigger_name, trigger_kwargs)
    work.unit.record_outcome(event_id, outcome.to_dict())
    return outcome


def _failed(instance: TaskInstance, past: str) -> TaskInstance:
    if instance.status is not Status.FAILED:
        raise InvalidTransition(
            f"instance {instance.name} is {instance.status}; only a failed one can be {past}"
        )
    return instance


def _replacement(
    name: str, replacement_kwargs: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Any]:
    if replacement_kwargs is None:
        return {}
    if not isinstance(replacement_kwargs, Mapping):
        raise InvalidKwargs(
            f"instance {name}: the replacement must be a mapping of trigger names to kwargs, "
            f"not {type(replacement_kwargs).__name__}"
        )
    return {
        trigger_name: json.loads(encode_kwargs(kwargs, f"trigger {trigger_name!r}"))
        for trigger_name, kwargs in replacement_kwargs.items()
    }
