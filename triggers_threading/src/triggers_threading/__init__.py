"""A task runner that runs each task in a thread of the process that dispatched it."""

from triggers_threading.runner import JoinError, JoinTimeout, ThreadingTaskRunner

__all__ = ["JoinError", "JoinTimeout", "ThreadingTaskRunner"]
