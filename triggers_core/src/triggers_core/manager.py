"""The application's side: fire triggers into a session, and mend what failed in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from triggers_core.engine import mending
from triggers_core.engine.change import change
from triggers_core.engine.firing import Firing, fire_all
from triggers_core.engine.outcome import FireOutcome
from triggers_core.engine.session import Session
from triggers_core.engine.work import Work
from triggers_core.rules.config import Configuration, TaskConfig
from triggers_core.rules.instance import TaskInstance
from triggers_core.rules.kwargs import Result


class TriggerManager(Session):
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
        return fire_all(self, firings)

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
        return mending.replay_failed(self, self._name_of(instance), replacement_kwargs)

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
        return mending.skip_failed(self, self._name_of(instance), cascade=cascade, result=result)

    def mark_instance_logs_resolved(self, instance: TaskInstance | str) -> TaskInstance:
        """Note that a person has dealt with an instance's error or warnings; return it.

        Idempotent. The status stays as it is, and what it logs afterwards is unresolved again.

        Raises:
            InstanceNotFound: there is none of that name.
        """
        return mending.mark_logs_resolved(self, self._name_of(instance))

    def _check_runner(self, task: TaskConfig) -> None:
        if task.using is not None:
            self.plugins.check_runner(task.using, f"task {task.name!r}")
        elif not self.plugins.has_hook("triggers_select_runner"):
            self.plugins.check_runner(self.default_task_runner_name, f"task {task.name!r}")
