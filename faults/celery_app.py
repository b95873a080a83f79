"""The Celery app of the application under faults: ``celery -A celery_app worker -I shop``."""

from __future__ import annotations

import tasks
from celery import Celery
from settings import Settings

from triggers_celery import CeleryTriggerTask

SETTINGS = Settings.load()

app = Celery("faults", broker=SETTINGS.broker_url)
app.conf.task_default_queue = SETTINGS.queue
app.conf.broker_connection_retry_on_startup = True
app.conf.task_publish_retry_policy = {"max_retries": 1, "interval_start": 0.1}
app.conf.worker_prefetch_multiplier = 1
if SETTINGS.runner == "celery-redis":
    app.conf.broker_transport_options = {
        "global_keyprefix": f"{SETTINGS.queue}-",
        "visibility_timeout": 5,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }

for target, body in tasks.TASKS.items():
    app.task(base=CeleryTriggerTask, name=target, max_retries=tasks.MAX_RETRIES)(body)
