"""A task runner on huey, whose queue is a SQLite file: the first process to import this names it,
and worker processes inherit the name."""

import os
import tempfile

from engines import execute_reference, worker_plugins
from huey import SqliteHuey

from triggers_core import BaseTaskRunner, Reference

if "HUEY_FILE" not in os.environ:
    os.environ["HUEY_FILE"] = os.path.join(tempfile.mkdtemp(prefix="huey-"), "queue.db")

queue = SqliteHuey(filename=os.environ["HUEY_FILE"], results=False)


@queue.task()
def execute_message(message):
    execute_reference(message, worker_plugins(HueyRunner))


class HueyRunner(BaseTaskRunner):
    """Sends huey a reference; huey's scheduler waits for cooldowns."""

    name = "huey"
    capabilities = frozenset({"cooldown", "remote"})

    def run(self, manager, task_instance):
        message = Reference.to(manager, task_instance).to_dict()
        delay = task_instance.not_before - manager.storage.now()
        if delay > 0:
            execute_message.schedule((message,), delay=delay)
        else:
            execute_message(message)
