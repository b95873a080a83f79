"""One session as this process has it open: where it is kept, with which plugins, how it stands."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from triggers_core.engine.extensions import Extensions, default_extensions
from triggers_core.errors import InstanceNotFound, InvalidStorage, PluginError
from triggers_core.rules.closing import Closing
from triggers_core.rules.config import Configuration, TaskConfig
from triggers_core.rules.instance import OPEN, Status, TaskInstance, split_instance_name
from triggers_core.rules.names import check_name, shown
from triggers_core.storage.base import Storage


class Session:
    """One session, to look at. Thread-safe; keeps no state of its own.

    What a manager is: the engine works on sessions, and :class:`triggers_core.TriggerManager` adds
    what an application does to them.
    """

    name: ClassVar[str]
    default_task_runner_name: ClassVar[str]
    dispatch_timeout: ClassVar[float]
    lease_duration: ClassVar[float]

    def __init__(
        self,
        session_uid: str,
        *,
        storage: Storage | None = None,
        plugins: Extensions | None = None,
    ) -> None:
        self.session_uid = check_name(session_uid, "session")
        self.plugins = default_extensions() if plugins is None else plugins
        self.storage = self.plugins.storage() if storage is None else storage
        if not isinstance(self.storage, Storage):
            raise InvalidStorage(
                f"session {session_uid!r}: expected a triggers_core.Storage, not {shown(storage)}; "
                "plugins.open_storage('sqlite:///triggers.db') returns one"
            )

    @property
    def has_own_name(self) -> bool:
        """Whether the class names itself, and does not go by the name of its base class."""
        return "name" in vars(type(self))

    def check_has_own_name(self) -> None:
        """Raise PluginError for a class that goes by the name of the class that it is made from:
        whoever follows a reference would open the session with that one."""
        own = type(self)
        if not self.has_own_name:
            raise PluginError(
                f"the manager class {own.__name__} has no name of its own, and would be "
                f"{self.name!r} to workers; write name = {own.__name__.lower()!r} in its body, and "
                "register it in the entry-point group triggers.managers under that name"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_uid!r})"

    def instance(self, name: str) -> TaskInstance:
        """Return one instance (``"t_task#0"``) as it stands. Raises InstanceNotFound."""
        key = split_instance_name(name)
        found = self.storage.look(self.session_uid, lambda reader: reader.instance(*key))
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
        return self.storage.look(
            self.session_uid,
            lambda reader: reader.instances(task_name=task_name, statuses=statuses),
        )

    def open_instances(self) -> list[TaskInstance]:
        """Return the instances that are not over: they wait (``waits_for`` says for what), are
        scheduled, or run. With none, and no :meth:`unresolved_instances`, the case is finished."""
        return self.instances(statuses=OPEN)

    def unresolved_instances(self) -> list[TaskInstance]:
        """Return the instances that failed or logged a warning, and that nobody has resolved."""
        return [instance for instance in self.instances() if not instance.is_resolved]

    def closing(self) -> Closing | None:
        """Return how the session was cancelled or closed; None where it goes on."""
        return self.storage.look(self.session_uid, lambda reader: reader.closing())

    def configuration(self) -> Configuration:
        """Return the session's present configuration."""
        return self.storage.look(self.session_uid, lambda reader: reader.configuration())

    def task_config(self, instance: TaskInstance) -> TaskConfig:
        """Return the configuration that an instance lives by."""
        return self.storage.task_config(instance)

    def resolve(self, instance: TaskInstance) -> Any:
        """Return the :class:`triggers_core.TriggerTask` that an instance runs.

        Raises:
            TaskNotFound: its ``run`` target leads nowhere.
            ConfigurationError: it leads to something that is no task, or may not be run here.
        """
        target = self.task_config(instance).run
        self.plugins.check_target(target, f"task {instance.task_name!r}")
        return self.plugins.hook.triggers_resolve_task(manager=self, target=target)

    def _name_of(self, instance: TaskInstance | str) -> str:
        """Return the instance's name. Raises InstanceNotFound if it is none of this session's."""
        if not isinstance(instance, TaskInstance):
            split_instance_name(instance)
            return instance
        if instance.session_uid != self.session_uid:
            raise InstanceNotFound(
                f"instance {instance.name} is of session {instance.session_uid!r}, and this "
                f"manager is of {self.session_uid!r}"
            )
        return instance.name
