"""The contract of a task runner: the one class that a third party subclasses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from triggers_core.manager import TriggerManager
from triggers_core.rules.instance import TaskInstance
from triggers_core.task import TriggerTask


class BaseTaskRunner(ABC):
    """Takes scheduled instances to where they run.

    The framework builds one object for each :class:`~triggers_core.Plugins`, without arguments,
    at the first dispatch. Its :meth:`run` is called from many threads at once.

    Attributes:
        name: unique; equals the name of the entry point in ``triggers.runners``.
        capabilities: what this runner offers beyond the contract, for the conformance suite:
            ``"join"`` (``join_all(timeout=None)`` waits for all work), ``"cooldown"`` (waits
            for ``task_instance.not_before`` without keeping a worker busy), ``"remote"``
            (another process runs the task), ``"inline"`` (:meth:`run` returns only after it),
            ``"volatile"`` (what is left when the interpreter exits is lost until recovery).
    """

    name: ClassVar[str]
    capabilities: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def run(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        """Accept the work and return. It is called with keywords, and so with these very names.

        Whoever carries the work out calls :func:`triggers_core.execute`, which claims the instance
        first, so that passing the same instance on twice is safe.

        An exception means that the work was not accepted: the caller gets a ``DispatchError``,
        and ``recover`` dispatches the instance again.
        """

    def resolve(self, manager: TriggerManager, task_instance: TaskInstance) -> TriggerTask:
        """Return the task that the instance runs. Override to look tasks up elsewhere.

        Raises:
            TaskNotFound: the ``run`` target leads nowhere.
            ConfigurationError: it leads to something that is no task.
        """
        found: TriggerTask = manager.resolve(task_instance)
        return found
