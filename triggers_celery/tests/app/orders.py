"""The application under test: ordinary tasks of an ordinary Celery app, which a worker imports as
``-A orders``. The environment says how it is configured, and where the tasks leave their traces.
"""

import json
import os
import signal
import sys
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from celery import Celery
from celery.exceptions import Ignore, Reject, Retry
from celery.signals import (
    task_failure,
    task_postrun,
    task_prerun,
    task_retry,
    task_success,
    worker_init,
    worker_ready,
)

from triggers_celery import CeleryTriggerTask, receiving
from triggers_core import SqliteStorage, TriggerManager, default_plugins
from triggers_core.storage.sqlite import connections

app = Celery("orders", include=["triggers_celery.tasks"])
app.conf.update(json.loads(os.environ["ORDERS_SETTINGS"]))
receiving.STORAGE_RETRY_SECONDS = 1.0

# The tests have several such apps in one process, and each keeps its tasks to itself.
trigger_task = partial(app.task, base=CeleryTriggerTask, shared=False)


class HastyManager(TriggerManager):
    """Notices soon that a worker was lost."""

    name = "hasty"
    lease_duration = 3.0


@worker_init.connect
def register(**_):
    if "ORDERS_BUSY_TIMEOUT" in os.environ:
        connections.BUSY_TIMEOUT_SECONDS = float(os.environ["ORDERS_BUSY_TIMEOUT"])
    default_plugins().managers.add(HastyManager)
    default_plugins().add_storage(
        SqliteStorage(os.environ["ORDERS_LEDGER"], alias="ledger", synchronous="NORMAL")
    )


@worker_ready.connect
def tell_that_it_is_ready(**_):
    with os.fdopen(int(os.environ["ORDERS_READY"]), "w") as ready:
        ready.write("ready")


def leave_trace(context):
    """Note that the task ran: one line each time, from whichever process."""
    _write_trace(context.manager.session_uid, context.instance.name)


def leave_trace_of(args, what):
    """Note that something came about for the instance that a message refers to."""
    (reference,) = args
    _write_trace(reference["session"], f"{reference['instance']}:{what}")


def _write_trace(session_uid, what):
    with open(os.environ["ORDERS_TRACES"], "a") as traces:
        traces.write(f"{session_uid} {what}\n")


@trigger_task
def note(context):
    leave_trace(context)
    return {"attempt": context.attempt}


def where(self, context):
    """Tell which worker runs it, and what its message said on the way."""
    return {
        "worker": self.request.hostname,
        "queue": self.request.delivery_info["routing_key"],
        "priority": self.request.delivery_info["priority"],
        "tenant": (self.request.headers or {}).get("tenant"),
    }


for _name in ("orders.where", "orders.elsewhere"):
    trigger_task(bind=True, name=_name)(where)


class Described(CeleryTriggerTask):
    """A class-based task."""

    name = "orders.described"

    def run(self, context):
        return self.describe(context)

    def describe(self, context):
        return {"task": self.name, "took": sorted(context.trigger_kwargs)}


app.register_task(Described())


class InContext:
    """A base of an application's own, as Flask's documentation has it."""

    def __call__(self, *args, **kwargs):
        self.is_in_context = True
        return self.run(*args, **kwargs)


class InContextTask(InContext, CeleryTriggerTask):
    abstract = True


@app.task(
    base=InContextTask,
    bind=True,
    shared=False,
    autoretry_for=(ConnectionError,),
    default_retry_delay=0,
)
def in_context(self, context):
    leave_trace(context)
    if context.attempt == 1:
        raise ConnectionError("the bank is closed")
    return {"is_in_context": self.is_in_context}


@app.task(
    base=InContextTask,
    shared=False,
    autoretry_for=(Exception,),
    default_retry_delay=0,
    max_retries=1,
)
def in_context_in_vain(context):
    leave_trace(context)
    raise ConnectionError("the bank is closed")


class HandlersTask(CeleryTriggerTask):
    """Leaves a trace of each of Celery's handlers, with what it is told."""

    abstract = True

    def before_start(self, task_id, args, kwargs):
        leave_trace_of(args, "before_start")

    def on_success(self, retval, task_id, args, kwargs):
        leave_trace_of(args, f"on_success({retval})")

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        leave_trace_of(args, f"on_retry({exc!r})")

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        leave_trace_of(args, f"on_failure({exc!r})")

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        leave_trace_of(args, f"after_return({status})")


class PatientTask(CeleryTriggerTask):
    """Is not ready at the first message."""

    abstract = True

    def before_start(self, task_id, args, kwargs):
        if self.request.retries == 0:
            self.retry(countdown=0)


@app.task(base=PatientTask, shared=False)
def retry_before_start(context):
    leave_trace(context)
    return {"attempt": context.attempt}


@app.task(base=HandlersTask, shared=False, bind=True, default_retry_delay=0, max_retries=1)
def handlers(self, context):
    leave_trace_of(self.request.args, "run")
    way = context.trigger_kwargs["go"]["way"]
    if way == "fail":
        raise ZeroDivisionError("nothing to divide by")
    if way == "retry in vain" or (way == "retry" and context.attempt == 1):
        self.retry(exc=ValueError("the bank is closed"))
    if way == "skip":
        context.skip()
    return {"way": way}


@task_prerun.connect
def on_prerun(sender, args, **_):
    if isinstance(sender, HandlersTask):
        leave_trace_of(args, "task_prerun")


@task_postrun.connect
def on_postrun(sender, args, state, **_):
    if isinstance(sender, HandlersTask):
        leave_trace_of(args, f"task_postrun({state})")


@task_retry.connect
def on_retry(sender, request, **_):
    if isinstance(sender, HandlersTask):
        leave_trace_of(request.args, "task_retry")


@task_failure.connect
def on_failure(sender, args, exception, **_):
    if isinstance(sender, HandlersTask):
        leave_trace_of(args, f"task_failure({exception!r})")


@task_success.connect
def on_success(sender, **_):
    if isinstance(sender, HandlersTask):
        leave_trace_of(sender.request.args, "task_success")


@trigger_task(bind=True)
def request(self, context):
    """Tell what Celery says of the message."""
    return {
        "id": self.request.id,
        "args": self.request.args,
        "retries": self.request.retries,
        "called_directly": self.request.called_directly,
        "tenant": (self.request.headers or {}).get("tenant"),
    }


@trigger_task(default_retry_delay=0)
def context_retry(context):
    if context.attempt == 1:
        context.retry()
    return {"attempt": context.attempt}


@trigger_task
def context_skip(context):
    context.skip(cascade=True, result={"attempt": context.attempt})


@trigger_task(name="an order's own name")
def otherwise_named(context):
    return {"named": "otherwise"}


@trigger_task(bind=True)
def retry_as_told(self, context):
    leave_trace(context)
    if context.attempt == 1:
        self.retry(countdown=context.trigger_kwargs["go"]["countdown"])
    return {"attempt": context.attempt}


@trigger_task(bind=True, max_retries=2)
def retry_countdown(self, context):
    if context.attempt <= 2:
        self.retry(countdown=0.5, exc=ValueError("the bank is closed"))
    return {"attempt": context.attempt}


@trigger_task(bind=True)
def retry_eta(self, context):
    if context.attempt == 1:
        raise self.retry(eta=datetime.now(timezone.utc) + timedelta(seconds=0.5))
    return {"attempt": context.attempt}


@trigger_task(bind=True, default_retry_delay=0.5)
def retry_default_delay(self, context):
    if context.attempt == 1:
        try:
            raise LookupError("no such account")
        except LookupError:
            self.retry()
    return {"attempt": context.attempt}


@trigger_task(bind=True, default_retry_delay=0, max_retries=5)
def retry_exceeded(self, context):
    self.retry(exc=ValueError("the bank is closed"), max_retries=1)


@trigger_task(bind=True, default_retry_delay=0, max_retries=None)
def retry_without_end(self, context):
    if context.attempt <= 5:
        self.retry()
    return {"attempt": context.attempt}


@trigger_task(bind=True)
def retry_wrongly(self, context):
    self.retry(countdown=float("nan"))


@trigger_task(
    autoretry_for=(ConnectionError,),
    retry_backoff=1,
    retry_jitter=False,
    max_retries=2,
)
def autoretry(context):
    if context.attempt <= 2:
        raise ConnectionError("the bank is closed")
    return {"attempt": context.attempt}


@trigger_task
def raise_retry(context):
    if context.attempt == 1:
        raise Retry("again", ValueError("the bank is closed"), when=0.5)
    return {"attempt": context.attempt}


@trigger_task
def ignore(context):
    raise Ignore


@trigger_task
def reject(context):
    raise Reject("not ours", requeue=False)


@trigger_task
def reject_and_requeue(context):
    if context.attempt == 1:
        raise Reject("not now", requeue=True)
    return {"attempt": context.attempt}


@trigger_task(soft_time_limit=1)
def soft_limit(context):
    time.sleep(60)


@trigger_task(time_limit=1)
def hard_limit(context):
    if context.attempt == 1:
        time.sleep(60)
    return {"attempt": context.attempt}


@trigger_task
def fail(context):
    raise ZeroDivisionError("nothing to divide by")


@trigger_task
def leave(context):
    sys.exit(3)


@trigger_task
def bad_result(context):
    return {"at": datetime.now(timezone.utc)}


def hang_once(context):
    """At the first attempt, say which process this is, and wait to be killed."""
    leave_trace(context)
    if context.attempt == 1:
        pid_file = Path(context.trigger_kwargs["go"]["pid_file"])
        unfinished = pid_file.with_suffix(".unfinished")
        unfinished.write_text(str(os.getpid()))
        unfinished.rename(pid_file)
        while True:
            signal.pause()
    return {"attempt": context.attempt}


trigger_task(name="orders.hang_once")(hang_once)
trigger_task(name="orders.hang_or_fail", on_worker_lost="fail")(hang_once)


@trigger_task(max_retries=1)
def kill_itself(context):
    leave_trace(context)
    os.kill(os.getpid(), signal.SIGKILL)


@trigger_task
def wait_for_gate(context):
    """Run until somebody opens the gate, a FIFO, for writing."""
    leave_trace(context)
    with open(context.trigger_kwargs["go"]["gate"]) as gate:
        return {"word": gate.read()}


@app.task(shared=False)
def no_trigger_task(context):
    """A plain Celery task."""


def decide(context):
    """What every task of the permit logs does: its result says all that it saw."""
    return {"instance": context.instance.name, "kwargs": context.trigger_kwargs}


_OF_BOTH_LOGS = ("close", "refuse", "archive")
_OF_THE_REAL_ONE = ("acknowledge", "recheck", "advise", "fast_track")
_OF_THE_TESTS_OWN = ("confirm", "inspect", "consult", "hurry")
for _name in (*_OF_BOTH_LOGS, *_OF_THE_REAL_ONE, *_OF_THE_TESTS_OWN):
    trigger_task(name=f"permits.{_name}")(decide)
