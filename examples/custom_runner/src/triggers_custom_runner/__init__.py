"""A task runner for triggers that runs one task at a time, in the order in which they come."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor

from triggers_core import BaseTaskRunner, TaskInstance, TriggerManager, execute

logger = logging.getLogger(__name__)


class CustomRunner(BaseTaskRunner):
    """For tasks that must not meet: all use one printer, one serial port, one slow service."""

    name = "custom_runner"

    def __init__(self) -> None:
        self._open_lane()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._open_lane)

    def _open_lane(self) -> None:
        self._lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.name)

    def run(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        self._lane.submit(self._execute, manager, task_instance)

    def _execute(self, manager: TriggerManager, task_instance: TaskInstance) -> None:
        try:
            execute(manager, task_instance, resolve=self.resolve)
        except Exception:
            logger.exception("%s could not be executed to its end", task_instance.name)
