"""What the application's tasks do, whichever runner runs them."""

from __future__ import annotations

import time
from typing import Any

from settings import Settings

SETTINGS = Settings.load()

TARGET, FAILING_TARGET = "tasks.run", "tasks.fail"
MAX_RETRIES = 1000
LEASE_SECONDS = 4.0
TASK_SECONDS, SLOW_TASK_SECONDS = 0.01, 1.4 * LEASE_SECONDS


def run(context: Any) -> dict[str, Any]:
    """Note the execution, then take a moment, so that a fault finds something to interrupt."""
    note_instance("ran", context.manager, context.instance)
    slow = context.trigger_kwargs.get("approved", {}).get("slow")
    time.sleep(SLOW_TASK_SECONDS if slow else TASK_SECONDS)
    return {"session": context.manager.session_uid}


def fail(context: Any) -> None:
    """Note the execution, and fail for good."""
    run(context)
    raise RuntimeError("meant to fail")


TASKS = {TARGET: run, FAILING_TARGET: fail}


def note_instance(event: str, manager: Any, instance: Any, **fields: Any) -> None:
    SETTINGS.note(event, session=manager.session_uid, instance=instance.name, **fields)
