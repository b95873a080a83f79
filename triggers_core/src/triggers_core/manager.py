"""The application's side: fire triggers into a session, and mend what failed in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from triggers_core.engine import closing, configuring, mending
from triggers_core.engine.firing import Firing, fire_all
from triggers_core.engine.outcome import ClosingOutcome, ConfigurationOutcome, FireOutcome
from triggers_core.engine.session import Session
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

    name: ClassVar[str] = "triggers"
    default_task_runner_name: ClassVar[str] = "celery"
    dispatch_timeout: ClassVar[float] = 300.0
    lease_duration: ClassVar[float] = 60.0

    def update_configuration(
        self,
        configuration: Mapping[str, Mapping[str, Any]],
        *,
        replace: bool = False,
        retire: Collection[str] = (),
        abandon_retired: bool = False,
        update_instances: bool = False,
        reason: str | None = None,
        by: str | None = None,
        dry_run: bool = False,
    ) -> ConfigurationOutcome:
        """Add tasks to the session's configuration, or replace those of the same name; take out
        those that are retired.

        All or nothing (C8). Triggers fired before are not applied again: a task that is new
        sees them when its first instance is made. Instances that exist keep the configuration
        that they were made under, unless the arguments say otherwise. A task that is taken out
        gets no further instance; what of it is scheduled or runs goes on to its end.

        Where tasks are taken out or instances updated, the session's unstarted instances are
        read; else the cost is the same in a session of any size.

        Args:
            configuration: task name → directives; ``{}`` where none is to be added.
            replace: take out every task that ``configuration`` does not name: it becomes the
                session's configuration as it stands.
            retire: the names of tasks to take out; those that the session does not have are
                left out, so that it may be asked for twice.
            abandon_retired: abandon the unstarted instances whose task is not in the
                configuration any more; else they are kept, and start when what they wait for
                fires.
            update_instances: take the unstarted instances of tasks whose directives have changed
                over to the new ones, as :meth:`update_instance_configuration` does; else they go
                on by those that they were made under.
            reason: why, kept in the metadata of what ``abandon_retired`` abandons; None for a
                sentence that says that the task was taken out.
            by: who, kept there too.
            dry_run: change nothing, only return what would be done.

        Raises:
            SessionClosed: the session was cancelled or closed.
            ConfigurationError: a rule is broken; it names the task and the directive. Or the
                arguments contradict each other.
            RunnerNotFound: a task's ``using``, or the default runner where a task needs it, is
                not installed.
            InvalidKwargs: ``reason`` or ``by`` is no line of text.
            StorageError: the store cannot be used.
            DispatchError: the change is recorded, but an instance that became ready by it
                reached no runner.
        """
        asked = configuring.request(
            self,
            configuration,
            replace=replace,
            retire=retire,
            abandon_retired=abandon_retired,
            update_instances=update_instances,
            reason=reason,
            by=by,
        )
        if dry_run:
            return configuring.preview(self, asked)
        return configuring.update_configuration(self, asked)

    def update_instance_configuration(self, instance: TaskInstance | str) -> TaskInstance:
        """Take an unstarted instance over to the session's present configuration; return it.

        It keeps whatever it took, also of triggers that its task no longer names. Of triggers
        that are new to it, it takes the latest kwargs fired before, as a new instance would. It
        waits for what is left of the task's triggers then, and in the same transaction it is
        abandoned where its ``unless`` is complete, or else scheduled where nothing is left. One
        whose directives have not changed stays as it is.

        Args:
            instance: the instance or its name.

        Raises:
            InstanceNotFound: there is none of that name.
            InvalidTransition: it is not unstarted.
            SessionClosed: the session was cancelled or closed.
            TaskNotFound: the configuration does not have its task any more.
            DispatchError: the change is recorded, but the instance reached no runner.
        """
        return configuring.update_instance(self, self._name_of(instance))

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
            SessionClosed: the session was cancelled or closed; nothing was changed.
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
            SessionClosed: the session was cancelled or closed, and not all of them are repeated
                ones; nothing was changed.
            StorageError: nothing was changed.
            DispatchError: all of them *are* recorded, and must not be fired again.
        """
        return fire_all(self, firings)

    def replay_failed_instance(
        self,
        instance: TaskInstance | str,
        replacement_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        merge: bool = False,
        reason: str | None = None,
        by: str | None = None,
    ) -> TaskInstance:
        """Run a failed instance again, as a new instance; return that clone, scheduled.

        The clone starts at attempt 1 and runs by the task's present configuration, so that a
        mended ``run`` or ``withParams`` applies; by the instance's own, where the task was
        taken out since.

        Args:
            instance: the instance or its name.
            replacement_kwargs: trigger name → kwargs, in place of what the instance took of
                these triggers. The kwargs of the other triggers stay.
            merge: merge each replacement recursively over what was taken, as ``withParams`` is
                merged with what is fired.
            reason: why, a line kept in the metadata of the instance that is replayed.
            by: who, kept there too.

        Raises:
            InstanceNotFound: there is none of that name.
            InvalidTransition: it is not failed.
            SessionClosed: the session was cancelled or closed.
            InvalidKwargs: the replacement is no such mapping, or names a trigger that the
                instance did not take; or ``reason`` or ``by`` is no line of text.
            DispatchError: the replay is recorded, but the clone reached no runner.
        """
        name = self._name_of(instance)
        return mending.replay_failed(
            self, name, replacement_kwargs, merge=merge, reason=reason, by=by
        )

    def skip_failed_instance(
        self,
        instance: TaskInstance | str,
        *,
        cascade: bool = False,
        result: Result = None,
        reason: str | None = None,
        by: str | None = None,
    ) -> TaskInstance:
        """Give up a failed instance; return it, skipped.

        Args:
            instance: the instance or its name.
            cascade: fire the trigger named after the task, as if it had finished.
            result: the kwargs of that cascade.
            reason: why, a line kept in the instance's metadata.
            by: who, kept there too.

        Raises:
            InstanceNotFound: there is none of that name.
            InvalidTransition: it is not failed.
            SessionClosed: the session was cancelled or closed.
            InvalidKwargs: ``result`` is no mapping of JSON values, or has no cascade to go in; or
                ``reason`` or ``by`` is no line of text.
            DispatchError: the skip is recorded, but an instance reached no runner.
        """
        return mending.skip_failed(
            self, self._name_of(instance), cascade=cascade, result=result, reason=reason, by=by
        )

    def abandon_instance(
        self, instance: TaskInstance | str, *, reason: str, by: str | None = None
    ) -> TaskInstance:
        """Give up an instance that has not begun to run; return it, abandoned.

        For one that waits for what will never come, or that is not to run any more. Nothing
        cascades, and its task gets no other instance but by ``andEvery``. A message to a worker
        that is under way for it is dropped when it arrives; of this and a worker's claim at the
        same moment, one happens.

        Args:
            instance: the instance or its name.
            reason: why, a line kept in the instance's metadata.
            by: who, kept there too.

        Raises:
            InstanceNotFound: there is none of that name.
            InvalidTransition: it is neither unstarted nor scheduled.
            SessionClosed: the session was cancelled or closed.
            InvalidKwargs: ``reason`` or ``by`` is no line of text.
        """
        return mending.abandon(self, self._name_of(instance), reason=reason, by=by)

    def mark_instance_logs_resolved(
        self, instance: TaskInstance | str, *, reason: str | None = None, by: str | None = None
    ) -> TaskInstance:
        """Note that a person has dealt with an instance's error or warnings; return it.

        Idempotent: one that is resolved stays as it is, with what was said of it first. The
        status stays as it is, and what it logs afterwards is unresolved again.

        Args:
            instance: the instance or its name.
            reason: why it needs nothing more, a line kept in the instance's metadata.
            by: who, kept there too.

        Raises:
            InstanceNotFound: there is none of that name.
            InvalidKwargs: ``reason`` or ``by`` is no line of text.
        """
        return mending.mark_logs_resolved(self, self._name_of(instance), reason=reason, by=by)

    def cancel(self, *, reason: str | None = None, by: str | None = None) -> ClosingOutcome:
        """End the session, whatever was still to come; return what that did.

        One transaction. What has not begun is abandoned with the reason, a retry that waits for
        its cooldown too, and a message to a worker that is under way for it is dropped when it
        arrives. What runs is not stopped: ``context.is_cancelled()`` tells it when it asks, it may
        end as it likes, and its cascade is recorded and starts nothing. Where it asks for a
        retry, that is recorded, and the clone is abandoned; where its worker is lost, it is
        recorded as failed.

        From then on a fire, a replay, a skip, an abandonment or another configuration is a
        SessionClosed, and changes nothing. A fire with an ``event_id`` that was recorded before
        still returns its first outcome.

        Idempotent: what was cancelled or closed before stays as it is, with the reason that was
        given first.

        Args:
            reason: why, a line kept with the session, and with each instance that is abandoned.
            by: who, kept there too.

        Raises:
            InvalidKwargs: ``reason`` or ``by`` is no line of text.
            StorageError: nothing was changed.
        """
        return closing.cancel(self, reason=reason, by=by)

    def close(self, *, reason: str | None = None, by: str | None = None) -> ClosingOutcome:
        """End a session that is done; return what that did.

        As :meth:`cancel`, but nothing that is under way is given up: it is refused while anything
        is scheduled or runs. What waits for triggers is abandoned.

        Args:
            reason: why, a line kept with the session, and with each instance that is abandoned.
            by: who, kept there too.

        Raises:
            InvalidTransition: instances are scheduled or running; it names them, and nothing was
                changed.
            InvalidKwargs: ``reason`` or ``by`` is no line of text.
            StorageError: nothing was changed.
        """
        return closing.close(self, reason=reason, by=by)
