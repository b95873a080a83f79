"""What a message to a worker carries: where an instance is, and nothing of what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from triggers_core.errors import InvalidReference, TriggersError
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import Plugins
from triggers_core.rules.instance import TaskInstance, split_instance_name
from triggers_core.rules.names import check_name, shown


@dataclass(frozen=True)
class Reference:
    """Points to one attempt of one instance. Holds no kwargs and no credentials.

    Attributes:
        manager: the manager's registered name.
        storage: the storage's alias.
        session: the session uid.
        instance: the instance's name.
        attempt: its attempt.
    """

    manager: str
    storage: str
    session: str
    instance: str
    attempt: int

    @classmethod
    def to(cls, manager: TriggerManager, instance: TaskInstance) -> Reference:
        """Return a reference to an instance of the manager's session.

        Raises:
            PluginError: the manager's class has no name of its own, so that whoever follows the
                reference would open the session with another class.
        """
        manager.check_has_own_name()
        return cls.within(manager, instance)

    @classmethod
    def within(cls, manager: TriggerManager, instance: TaskInstance) -> Reference:
        """Return the same for use in this process alone, where nobody opens it."""
        return cls(
            manager=manager.name,
            storage=manager.storage.alias,
            session=manager.session_uid,
            instance=instance.name,
            attempt=instance.attempt,
        )

    @classmethod
    def from_dict(cls, message: Mapping[str, Any]) -> Reference:
        """Return the reference in a message, checked whole: a message may come from anywhere.

        Raises:
            InvalidReference: it is none; the message says what is wrong.
        """
        expected = {field.name for field in fields(cls)}
        if not isinstance(message, Mapping) or set(message) != expected:
            raise InvalidReference(
                f"expected a mapping with exactly {', '.join(sorted(expected))}, "
                f"not {shown(message)}"
            )
        attempt = message["attempt"]
        if isinstance(attempt, bool) or not isinstance(attempt, int) or attempt < 1:
            raise InvalidReference(f"'attempt' must be an int from 1, not {shown(attempt)}")
        try:
            for key in ("manager", "storage", "session"):
                check_name(message[key], key)
            split_instance_name(message["instance"])
        except TriggersError as error:
            raise InvalidReference(str(error)) from error
        return cls(**message)

    def to_dict(self) -> dict[str, Any]:
        """Return the message: a dict of str and int."""
        return asdict(self)

    def open(self, plugins: Plugins) -> tuple[TriggerManager, TaskInstance]:
        """Return the manager of the session, and the instance as the message means it: as it
        stands in the store, at the message's attempt.

        Raises:
            ManagerNotFound, StorageNotFound, InstanceNotFound: this process does not know what
                the reference names; each says what to do.
            PluginError: the manager is registered wrongly.
        """
        manager = plugins.managers.load(self.manager)(
            self.session, storage=plugins.storage(self.storage), plugins=plugins
        )
        return manager, replace(manager.instance(self.instance), attempt=self.attempt)
