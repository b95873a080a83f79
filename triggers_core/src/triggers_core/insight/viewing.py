"""A session as whoever looks at it, or mends it, opens it: by its uid alone.

The session says which manager made it, and that class need not be known in this process: enough
to look, though not to act.
"""

from __future__ import annotations

from triggers_core.engine.dispatch import select_runner
from triggers_core.errors import InstanceNotFound, TriggersError
from triggers_core.insight.diagnosis import Facts
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import Plugins
from triggers_core.rules.instance import TaskInstance
from triggers_core.storage.base import Storage

_SESSIONS_ADVICE = "; `triggers sessions` lists those it has"
_MANAGER_ADVICE = "; --import the application's module that adds it"


class _Viewer(TriggerManager):
    """Looks at a session whose own manager class is not known here, for this reason."""

    reason: TriggersError


def manager_of(plugins: Plugins, storage: Storage, session_uid: str) -> TriggerManager:
    """Return the session's own manager, of the class that it was made with.

    Raises:
        InstanceNotFound: the storage has no such session.
        ManagerNotFound: the class is not known here.
        StorageError: the store cannot be used.
    """
    manager_class = plugins.managers.load(_manager_name(storage, session_uid), _MANAGER_ADVICE)
    return manager_class(session_uid, storage=storage, plugins=plugins)


def viewer_of(plugins: Plugins, storage: Storage, session_uid: str) -> TriggerManager:
    """Return a manager to look with: the session's own, or else a plain one.

    Raises:
        InstanceNotFound: the storage has no such session.
        StorageError: the store cannot be used.
    """
    name = _manager_name(storage, session_uid)
    try:
        manager_class = plugins.managers.load(name, _MANAGER_ADVICE)
    except TriggersError as error:
        viewer = _Viewer(session_uid, storage=storage, plugins=plugins)
        viewer.reason = error
        return viewer
    return manager_class(session_uid, storage=storage, plugins=plugins)


def facts_of(manager: TriggerManager) -> Facts:
    """Return what there is to know of a session, read at one moment.

    Raises:
        StorageError: the store cannot be used.
    """

    def runner_of(instance: TaskInstance) -> str:
        if isinstance(manager, _Viewer):
            raise manager.reason
        return select_runner(manager, instance).name

    with manager.storage.read(manager.session_uid) as reader:
        configuration, instances = reader.configuration(), reader.instances()
        closing = reader.closing()
        names = {name for task in configuration.values() for name in task.triggers}
        fired = reader.latest_kwargs(names | configuration.failing.keys()).keys()
        unawaited = [name for name in reader.fired_triggers() if name not in names]
    return Facts(
        configuration=configuration,
        instances=instances,
        fired=fired,
        unawaited=unawaited,
        config_of=manager.task_config,
        runner_of=runner_of,
        now=manager.storage.now(),
        closing=closing,
    )


def _manager_name(storage: Storage, session_uid: str) -> str:
    """Return the name of the session's manager. Raises InstanceNotFound without a session."""
    with storage.read(session_uid) as reader:
        name = reader.manager_name()
    if name is None:
        is_empty = next(storage.sessions(), None) is None
        raise InstanceNotFound(
            f"this storage has no session {session_uid!r}"
            + (", nor any other: is it the right one?" if is_empty else _SESSIONS_ADVICE)
        )
    return name
