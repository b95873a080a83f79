"""The Celery application of ``permits.py``: a task for each target of the configuration that its
variable holds, as JSON; none does anything."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery_joins_app import REDIS_URL

from triggers_celery import CeleryTriggerTask
from triggers_core import TaskContext

CONFIGURATION_VARIABLE = "PERMITS_CONFIGURATION"

app = Celery("permits", broker=REDIS_URL)
app.conf.task_default_queue = "permits"


def declare(configuration: Mapping[str, Any]) -> None:
    for target in {task["run"] for task in configuration.values()}:
        app.task(name=target, base=CeleryTriggerTask, ignore_result=True, shared=False)(nothing)


def nothing(_context: TaskContext) -> None:
    pass


if CONFIGURATION_VARIABLE in os.environ:
    declare(json.loads(os.environ[CONFIGURATION_VARIABLE]))
