"""A task runner on dramatiq, by Redis, under a namespace: the first process to import this names
it, and worker processes inherit the name."""

import os
import uuid

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from engines import execute_reference, worker_plugins

from triggers_core import BaseTaskRunner, Reference

REDIS_URL = os.environ.get("TRIGGERS_TEST_REDIS", "redis://127.0.0.1:6379/13")
NAMESPACE = os.environ.setdefault("DRAMATIQ_NAMESPACE", f"conformance-{uuid.uuid4()}")

broker = RedisBroker(url=REDIS_URL, namespace=NAMESPACE)


@dramatiq.actor(broker=broker, max_retries=0)
def execute_message(message):
    execute_reference(message, worker_plugins(DramatiqRunner))


class DramatiqRunner(BaseTaskRunner):
    """Sends an actor a reference; dramatiq's workers wait for cooldowns."""

    name = "dramatiq"
    capabilities = frozenset({"cooldown", "remote"})

    def run(self, manager, task_instance):
        message = Reference.to(manager, task_instance).to_dict()
        delay = max(task_instance.not_before - manager.storage.now(), 0)
        execute_message.send_with_options(args=(message,), delay=delay * 1000 or None)
