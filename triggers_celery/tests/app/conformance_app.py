"""The tasks of the conformance checks as tasks of a Celery app, for a worker to import."""

import json
import os

from celery import Celery

from triggers_celery import CeleryTriggerTask
from triggers_conformance.tasks import TASKS

app = Celery("conformance")
app.conf.update(json.loads(os.environ["CONFORMANCE_SETTINGS"]))


def register(name, task):
    @app.task(
        base=CeleryTriggerTask,
        name=name,
        max_retries=task.max_retries,
        default_retry_delay=task.cooldown,
        shared=False,
    )
    def run(context):
        return task.run(context)


for _name, _task in TASKS.items():
    register(_name, _task)
