"""The task runner itself: a pool of threads, each of which executes one instance at a time."""

from __future__ import annotations

import logging
from functools import partial
from typing import ClassVar

from triggers_core import BaseTaskRunner, TaskInstance, TriggerManager, TriggersError, execute
from triggers_core.worker.lease import KEEPER
from triggers_threading.pool import ThreadPool, is_pool_thread, join_all

DEFAULT_MAX_WORKERS = 32

_logger = logging.getLogger(__name__)


class JoinError(TriggersError, ValueError):
    """``join_all`` was called by a task, which would wait for itself for ever."""


class JoinTimeout(TriggersError, TimeoutError):
    """``join_all`` reached its timeout; the work goes on."""


class ThreadingTaskRunner(BaseTaskRunner):
    """Runs each task in a thread of this process. Thread-safe.

    What was accepted is finished before the interpreter exits, cascades and retries included.
    A process that is killed loses its threads; what they ran is then for ``recover``.

    Args:
        max_workers: tasks that run at the same time at most; further ones queue.
    """

    name: ClassVar[str] = "threading"
    capabilities: ClassVar[frozenset[str]] = frozenset({"join", "cooldown"})

    def __init__(self, max_workers: int = DEFAULT_MAX_WORKERS) -> None:
        if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
            raise ValueError(f"max_workers must be an int from 1, not {max_workers!r}")
        self._pool = ThreadPool(max_workers, "triggers", on_error=_log)

    def run(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        """Queue the instance for a thread, no sooner than its cooldown is over."""
        self._pool.submit(
            partial(execute, manager, task_instance, resolve=self.resolve),
            delay=task_instance.not_before - manager.storage.now(),
        )
        KEEPER.start()  # now, as the task may begin when the interpreter starts no more threads

    @classmethod
    def join_all(cls, timeout: float | None = None) -> None:
        """Wait until everything has ended that any runner of this class has accepted in this
        process: cascades, retries and what other threads fire in the meantime included. Tasks that
        fail are recorded, not raised here.

        Can be called on the class, and on whichever object.

        Args:
            timeout: seconds; None to wait for as long as it takes.

        Raises:
            JoinTimeout: work is left after the timeout; it goes on.
            JoinError: a task that runs in a thread called it, and would wait for itself.
        """
        _check_caller(is_own=is_pool_thread(), call="join_all")
        _check_left(join_all(timeout), timeout)

    def join(self, timeout: float | None = None) -> None:
        """Wait as :meth:`join_all` does, but for what this object has accepted alone: for the
        work of one ``Plugins``.

        Raises:
            JoinTimeout, JoinError: as for :meth:`join_all`.
        """
        _check_caller(is_own=self._pool.is_own_thread(), call="join")
        _check_left(self._pool.join(timeout), timeout)


def _check_caller(*, is_own: bool, call: str) -> None:
    if is_own:
        raise JoinError(
            f"{call} was called by a task that it would wait for; call it from the thread "
            "that fires, or fire a trigger to go on when other tasks have finished"
        )


def _check_left(left: int, timeout: float | None) -> None:
    if left:
        raise JoinTimeout(f"after {timeout} s, {left} task instances are queued or running")


def _log(error: BaseException) -> None:
    _logger.error("an instance could not be executed to its end: %s", error, exc_info=error)
