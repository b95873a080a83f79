"""The tasks of the conformance checks as tasks of a Celery app, for a worker to import."""

import json
import os
import uuid
from pathlib import Path

from celery import Celery
from kombu.transport import filesystem

from triggers_celery import CeleryTriggerTask
from triggers_conformance.tasks import TASKS


class Channel(filesystem.Channel):
    """Shows workers a message once it is whole: kombu writes the file where they look for it."""

    def _put(self, queue, payload, **kwargs):
        unfinished = f"{queue}.{uuid.uuid4()}"
        super()._put(unfinished, payload, **kwargs)
        (written,) = Path(self.data_folder_out).glob(f"*.{unfinished}.msg")
        written.rename(str(written).replace(unfinished, queue))


class Transport(filesystem.Transport):
    Channel = Channel


app = Celery("conformance")
app.conf.update(json.loads(os.environ["CONFORMANCE_SETTINGS"]))
if app.conf.broker_url == "filesystem://":
    app.conf.broker_transport = Transport


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
