"""triggers: run this task once these things have all happened.

Everything public is here; a name that is not in ``__all__`` may change without notice.
"""

from triggers_core.engine.outcome import ClosingOutcome, ConfigurationOutcome, FireOutcome
from triggers_core.errors import (
    ConfigurationError,
    DamagedStore,
    DispatchError,
    EventConflict,
    InstanceNotFound,
    InvalidKwargs,
    InvalidName,
    InvalidReference,
    InvalidStorage,
    InvalidTransition,
    ManagerNotFound,
    MaxRetriesExceeded,
    NotRegistered,
    OutcomeUnknown,
    PluginError,
    RunnerNotFound,
    SchemaVersionError,
    SessionClosed,
    StorageError,
    StorageNotFound,
    TaskNotFound,
    TransientStorageError,
    TriggersError,
)
from triggers_core.hookspecs import hookimpl
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import Plugins, default_plugins
from triggers_core.rules.closing import Closing
from triggers_core.rules.config import Configuration, TaskConfig
from triggers_core.rules.instance import Status, TaskInstance
from triggers_core.runner import BaseTaskRunner
from triggers_core.storage.base import SessionReader, Storage, UnitOfWork
from triggers_core.storage.memory import MemoryStorage
from triggers_core.storage.sqlite import SqliteStorage
from triggers_core.task import TaskContext, TaskInterruption, TriggerTask, optional, trigger_task
from triggers_core.worker.execution import cancel, execute
from triggers_core.worker.reference import Reference

__all__ = [
    "BaseTaskRunner",
    "Closing",
    "ClosingOutcome",
    "Configuration",
    "ConfigurationError",
    "ConfigurationOutcome",
    "DamagedStore",
    "DispatchError",
    "EventConflict",
    "FireOutcome",
    "InstanceNotFound",
    "InvalidKwargs",
    "InvalidName",
    "InvalidReference",
    "InvalidStorage",
    "InvalidTransition",
    "ManagerNotFound",
    "MaxRetriesExceeded",
    "MemoryStorage",
    "NotRegistered",
    "OutcomeUnknown",
    "PluginError",
    "Plugins",
    "Reference",
    "RunnerNotFound",
    "SchemaVersionError",
    "SessionClosed",
    "SessionReader",
    "SqliteStorage",
    "Status",
    "Storage",
    "StorageError",
    "StorageNotFound",
    "TaskConfig",
    "TaskContext",
    "TaskInstance",
    "TaskInterruption",
    "TaskNotFound",
    "TransientStorageError",
    "TriggerManager",
    "TriggerTask",
    "TriggersError",
    "UnitOfWork",
    "cancel",
    "default_plugins",
    "execute",
    "hookimpl",
    "optional",
    "trigger_task",
]
