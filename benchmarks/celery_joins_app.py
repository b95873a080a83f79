"""The Celery application that ``celery_joins.py`` measures: what its worker imports and runs.

A measured task counts itself off in Redis by one atomic command, and the one that reaches zero
wakes whoever waits. Only the chord uses the result backend: it needs one.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

import redis
from celery import Celery
from joins_by_hand import Cases

from triggers_celery import CeleryTriggerTask
from triggers_core import SqliteStorage, TaskContext, default_plugins

try:
    from triggers_opentelemetry import hooks as tracing
except ImportError:
    pass
else:
    default_plugins().unregister(tracing)  # no side is traced

REDIS_VARIABLE = "JOINS_REDIS"
FOLDER_VARIABLE = "JOINS_FOLDER"
POSTGRESQL_VARIABLE = "JOINS_POSTGRESQL"
"""The URL of the store whose alias is :data:`POSTGRESQL`, where there is one."""
POSTGRESQL = "postgresql"
REDIS_URL = os.environ.get(REDIS_VARIABLE, "redis://127.0.0.1:6379/9")
LEFT, DONE, STARTED = "joins-left", "joins-done", "joins-started"
"""Redis keys: how many measured tasks are still to come, a list that gets an item when none is, and
a list that gets the time when a timed task starts."""

app = Celery("joins", broker=REDIS_URL, backend=REDIS_URL)
app.conf.task_default_queue = "joins"


@cache
def redis_client() -> redis.Redis:
    """Return this process's client: the first call comes after the worker has forked."""
    return redis.Redis.from_url(REDIS_URL, socket_timeout=None)


def storages(folder: str) -> dict[str, SqliteStorage]:
    """Return the stores by alias, which is how safely each one commits."""
    return {
        synchronous: SqliteStorage(
            Path(folder, f"{synchronous}.db"), alias=synchronous, synchronous=synchronous
        )
        for synchronous in ("FULL", "NORMAL")
    }


@cache
def cases(folder: str, synchronous: str) -> Cases:
    """Return this process's store of joins by hand."""
    return Cases(Path(folder, f"by-hand-{synchronous}.db"), synchronous)


def count_off() -> None:
    if redis_client().decr(LEFT) == 0:
        redis_client().lpush(DONE, 1)


@app.task(name="joins.bare", ignore_result=True)
def bare(_number: int) -> None:
    count_off()


@app.task(name="joins.join", base=CeleryTriggerTask, ignore_result=True)
def join(_context: TaskContext) -> None:
    count_off()


@app.task(name="joins.by_hand", ignore_result=True, acks_late=True)
def by_hand(synchronous: str, case_id: str) -> None:
    store = cases(os.environ[FOLDER_VARIABLE], synchronous)
    if store.claim(case_id) is not None:
        count_off()
        store.finish(case_id, {})


@app.task(name="joins.timed", ignore_result=True)
def timed() -> None:
    redis_client().rpush(STARTED, time.monotonic())


@app.task(name="joins.timed_join", base=CeleryTriggerTask, ignore_result=True)
def timed_join(_context: TaskContext) -> None:
    redis_client().rpush(STARTED, time.monotonic())


@app.task(name="joins.step", base=CeleryTriggerTask, ignore_result=True)
def step(context: TaskContext) -> dict[str, int]:
    return {"number": context.trigger_kwargs["start"]["number"]}


@app.task(name="joins.assess", base=CeleryTriggerTask, ignore_result=True)
def assess(context: TaskContext) -> dict[str, int]:
    return {"number": context.trigger_kwargs["photo"]["number"]}


@app.task(name="joins.header")
def header(number: int) -> int:
    return number


@app.task(name="joins.body", ignore_result=True)
def body(_numbers: list[int]) -> None:
    count_off()


if FOLDER_VARIABLE in os.environ:
    for storage in storages(os.environ[FOLDER_VARIABLE]).values():
        default_plugins().add_storage(storage)
if POSTGRESQL_VARIABLE in os.environ:
    url = os.environ[POSTGRESQL_VARIABLE]
    default_plugins().add_storage(default_plugins().open_storage(url, alias=POSTGRESQL))
