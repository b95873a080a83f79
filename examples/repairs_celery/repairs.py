"""A bicycle repair shop: from a bicycle that is brought in to one that is collected and paid for.

Its steps are ordinary tasks of an ordinary Celery app. A worker is started as ever, ``celery -A
repairs worker``; the tests in ``tests/`` need neither a worker nor a broker.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.utils.log import get_task_logger

from triggers_celery import CeleryTriggerTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from triggers_core import TaskContext

app = Celery("repairs", broker="redis://localhost")
app.conf.task_routes = {"repairs.call": {"queue": "calls"}}

AN_HOUR = 3600
PRICES = {"tube": 9, "chain": 35, "brake": 22}
LABOUR = 25

logger = get_task_logger(__name__)


class Warehouse:
    """Where parts come from; often too busy to answer."""

    def order(self, parts: list[str]) -> str:
        """Return the order's number. Raises ConnectionError when nobody answers."""
        return f"W-{len(parts)}"


class Telephone:
    """How customers hear of their bicycle."""

    def call(self, number: str, message: str) -> bool:
        """Return whether somebody answered."""
        return bool(number and message)


warehouse = Warehouse()
telephone = Telephone()
alarms: list[str] = []
till_is_open = ContextVar("till_is_open", default=False)


@contextmanager
def open_till() -> Iterator[None]:
    """Have the till open: tasks that touch money may run in it alone."""
    token = till_is_open.set(True)
    try:
        yield
    finally:
        till_is_open.reset(token)


class AlarmedTask(CeleryTriggerTask):
    """Tells the shop of whatever goes wrong for good."""

    abstract = True

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        alarms.append(f"{self.name}: {exc}")


class TillTask(AlarmedTask):
    """Runs with the till open, as web frameworks have their tasks run in a context."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with open_till():
            return super().__call__(*args, **kwargs)


@app.task(base=AlarmedTask)
def diagnose(context: TaskContext) -> dict[str, Any]:
    complaint = context.trigger_kwargs["brought"]["complaint"]
    return {"parts": [part for part in PRICES if part in complaint]}


@app.task(base=AlarmedTask, autoretry_for=(ConnectionError,), retry_backoff=60, retry_jitter=False)
def order(context: TaskContext) -> dict[str, Any]:
    parts = context.trigger_kwargs["diagnose"]["parts"]
    if not parts:
        context.skip(cascade=True, result={"number": None})
    return {"number": warehouse.order(parts)}


class Mend(AlarmedTask):
    """Puts the parts in."""

    name = "repairs.mend"

    def run(self, context: TaskContext) -> dict[str, Any]:
        return {"hours": self.hours_for(context.trigger_kwargs["diagnose"]["parts"])}

    def hours_for(self, parts: list[str]) -> int:
        return 1 + len(parts)


app.register_task(Mend())


@app.task(base=TillTask)
def bill(context: TaskContext) -> dict[str, Any]:
    if not till_is_open.get():
        raise RuntimeError("the till is closed")
    parts = context.trigger_kwargs["diagnose"]["parts"]
    hours = context.trigger_kwargs["mend"]["hours"]
    return {"euros": sum(PRICES[part] for part in parts) + hours * LABOUR}


@app.task(base=AlarmedTask, bind=True, max_retries=2)
def call(self: CeleryTriggerTask, context: TaskContext) -> dict[str, Any]:
    customer = context.trigger_kwargs["brought"]["phone"]
    if not telephone.call(customer, f"{context.trigger_kwargs['bill']['euros']} €"):
        logger.info("nobody answers, call %s of 3", self.request.retries + 1)
        self.retry(countdown=AN_HOUR)
    return {"calls": self.request.retries + 1}


STEPS = {
    "diagnose": {"after": ["brought"], "run": "repairs.diagnose"},
    "order": {"after": ["diagnose"], "run": "repairs.order"},
    "mend": {
        "after": ["order", "diagnose", "delivered"],
        "unless": ["collected"],
        "run": "repairs.mend",
    },
    "bill": {"after": ["mend", "diagnose"], "run": "repairs.bill"},
    "call": {"after": ["bill", "brought"], "run": "repairs.call"},
}
