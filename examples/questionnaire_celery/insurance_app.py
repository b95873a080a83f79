"""The questionnaire's Celery app: what the application and its worker both import.

Its broker is a folder beside the store, in whatever folder the process works in.
"""

from pathlib import Path
from typing import Any
from uuid import uuid4

import insurance
from celery import Celery
from kombu.transport import filesystem

from triggers_celery import CeleryTriggerTask

BROKER = {
    "data_folder_in": "messages",
    "data_folder_out": "messages",
    "processed_folder": "messages/taken",
    "control_folder": "messages/queues",
}


class Channel(filesystem.Channel):
    """Shows workers a message once it is whole: kombu writes the file where they look for it."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        unfinished = f"{queue}.{uuid4()}"
        super()._put(unfinished, payload, **kwargs)
        (written,) = Path(self.data_folder_out).glob(f"*.{unfinished}.msg")
        written.rename(str(written).replace(unfinished, queue))


class Transport(filesystem.Transport):
    Channel = Channel


app = Celery("insurance", broker="filesystem://")
app.conf.update(
    broker_transport=Transport,
    broker_transport_options={**BROKER, "store_processed": True, "polling_interval": 0.05},
    worker_enable_remote_control=False,
    worker_redirect_stdouts=False,
)

# As @app.task(base=CeleryTriggerTask) does to a function that is defined here.
for step in (insurance.quote, insurance.assess, insurance.remind, insurance.policy):
    app.task(step.function, base=CeleryTriggerTask)
