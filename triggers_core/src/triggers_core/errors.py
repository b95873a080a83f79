"""Every error that triggers raises, as one small hierarchy.

Each message names what is at fault, what was expected and what to do next, so that the text
alone is enough to act on.
"""

from __future__ import annotations

from collections.abc import Iterable


class TriggersError(Exception):
    """The root: ``except TriggersError`` catches whatever this framework raises on purpose."""


class ConfigurationError(TriggersError, ValueError):
    """A configuration breaks a rule. Nothing of it was applied."""


class InvalidName(TriggersError, ValueError):
    """A session, task, trigger, event or alias name cannot be used. Nothing was changed."""


class InvalidKwargs(TriggersError, ValueError):
    """Kwargs are not a mapping of JSON values, or a reason is no line of text. Nothing was
    changed."""


class EventConflict(TriggersError, ValueError):
    """An ``event_id`` that was recorded for one firing came with another. Nothing was changed."""


class InvalidTransition(TriggersError, ValueError):
    """An instance cannot go from its status to the one asked for. Nothing was changed."""


class SessionClosed(TriggersError, ValueError):
    """The session was cancelled or closed, and takes nothing any more. Nothing was changed."""


class InstanceNotFound(TriggersError, LookupError):
    """The session has no instance of that name."""


class TaskNotFound(TriggersError, LookupError):
    """A ``run`` target does not lead to a task."""


class MaxRetriesExceeded(TriggersError):
    """A task asked for another retry after its last one; its instance is recorded as failed."""


class InvalidReference(TriggersError, ValueError):
    """A message to a worker is not a reference to an instance."""


class NotRegistered(TriggersError, LookupError):
    """Nothing of that name is registered with the plugins in use."""


class RunnerNotFound(NotRegistered):
    """No task runner of that name is installed."""


class ManagerNotFound(NotRegistered):
    """No manager class of that name is registered."""


class StorageNotFound(NotRegistered):
    """No storage is known by that alias, or no storage class by that URL scheme."""


class PluginError(TriggersError, ValueError):
    """A plugin, runner, manager or storage is registered wrongly; the message says by whom."""


class StorageError(TriggersError):
    """The store cannot be used. What was committed before stands; this change was not made."""


class InvalidStorage(StorageError, ValueError):
    """What names or makes a storage cannot be used: a URL, an option, an object that is none."""


class TransientStorageError(StorageError):
    """The store undid this change for a reason that may have passed: its connection was lost, or it
    got in another transaction's way. Where the same can be done again, it has been."""


class OutcomeUnknown(StorageError):
    """The one that does not say so: the store went away in the middle of a commit, or its file of a
    change, and does not tell whether this change was made. It was made wholly or not at all.

    With an ``event_id``, fire the trigger again: that changes nothing if it is recorded. Without
    one, look at the session first. What it scheduled, if anything, ``recover`` will send.
    """


class DamagedStore(StorageError):
    """What the store keeps is not what triggers wrote: bytes were lost or changed beneath it.

    Trying again does not help. Restore it from a backup, or mend the row that the message names.
    """


class SchemaVersionError(StorageError):
    """The store was written by a newer version of triggers, or by something else."""


class DispatchError(TriggersError):
    """The change is committed, but not every scheduled instance reached its runner.

    Do not fire the trigger again: it is recorded. ``recover`` will send the instances named in
    ``instance_names``. The first runner's error is the ``__cause__``.
    """

    def __init__(self, message: str, instance_names: Iterable[str]) -> None:
        super().__init__(message)
        self.instance_names: tuple[str, ...] = tuple(instance_names)
