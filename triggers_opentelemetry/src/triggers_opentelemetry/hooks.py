"""The hookimpls: a span for each trigger fired, each instance dispatched, each task run.

``fire`` is the parent of the ``dispatch`` of each instance that it makes ready, that one of the
``run``, and that one of the ``fire`` of the cascade: on whatever threads, processes and machines.
A retry is dispatched by the run that asked for it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextvars import ContextVar
from importlib import metadata
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

from triggers_core import TaskInterruption, hookimpl
from triggers_opentelemetry.carrying import Kept, connect_celery, from_celery, has_span

if TYPE_CHECKING:
    from triggers_core import (
        BaseTaskRunner,
        FireOutcome,
        TaskContext,
        TaskInstance,
        TriggerManager,
    )

_tracer = trace.get_tracer("triggers", metadata.version("triggers-opentelemetry"))

_fired = Kept()
"""Contexts of fires, by the name of the instance that each made ready."""
_dispatched = Kept()
"""Contexts of dispatches, by the instance's name and attempt; for runners of this process."""
_just_run: ContextVar[tuple[ReferenceType[TriggerManager], Context] | None] = ContextVar(
    "triggers_opentelemetry_just_run", default=None
)
"""The run that this thread has ended last, by its manager: what follows is the run's cascade."""

connect_celery()


@hookimpl
def triggers_fired(manager: TriggerManager, trigger_name: str, outcome: FireOutcome) -> None:
    """Record the fire; keep its context for the instances that are dispatched next."""
    span = _tracer.start_span(
        f"fire {trigger_name}",
        _leading_to(manager),
        attributes={
            **_of_session(manager),
            "triggers.trigger": trigger_name,
            "triggers.scheduled": outcome.scheduled,
        },
    )
    span.end()
    for instance_name in outcome.scheduled:
        _fired.put(manager, instance_name, context=set_span_in_context(span, Context()))


@hookimpl(wrapper=True, tryfirst=True)
def triggers_run(
    runner: BaseTaskRunner, manager: TriggerManager, task_instance: TaskInstance
) -> Generator[None, Any, Any]:
    """Record the dispatch; what the runner sends from within it carries its context."""
    connect_celery()
    parent = _fired.take(manager, task_instance.name) or _leading_to(manager)
    with _tracer.start_as_current_span(
        f"dispatch {task_instance.task_name}",
        parent,
        SpanKind.PRODUCER,
        {**_of_instance(manager, task_instance), "triggers.runner": runner.name},
    ):
        if "remote" not in runner.capabilities:
            _dispatched.put(
                manager, task_instance.name, task_instance.attempt, context=get_current()
            )
        before = _just_run.set(None)
        try:
            return (yield)
        finally:
            _just_run.reset(before)


@hookimpl(wrapper=True, tryfirst=True)
def triggers_execute(context: TaskContext) -> Generator[None, Any, Any]:
    """Record the run, with the exception that it ends with, if any."""
    manager, instance = context.manager, context.instance
    _just_run.set(None)
    parent = _dispatched.take(manager, instance.name, instance.attempt)
    if parent is None and not has_span():
        parent = from_celery()
    with _tracer.start_as_current_span(
        f"run {instance.task_name}",
        parent,
        SpanKind.CONSUMER,
        {**_of_instance(manager, instance), **_queued(instance)},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            return (yield)
        except TaskInterruption as interruption:
            span.add_event(type(interruption).__name__)
            raise
        except BaseException as error:
            _record(span, error)
            raise
        finally:
            _just_run.set((ref(manager), set_span_in_context(span, Context())))


def _record(span: Span, error: BaseException) -> None:
    """Note the error that a task ended by; one that cannot be shown is noted by its type."""
    name = type(error).__name__
    try:
        text = f"{name}: {error}"
        span.record_exception(error)
    except Exception:  # an exception may answer anything when it is asked for its text
        text = name
        span.add_event("exception", {"exception.type": name})
    span.set_status(StatusCode.ERROR, text)


def _queued(instance: TaskInstance) -> dict[str, float]:
    """Return for how many seconds the instance was due before a worker claimed it."""
    if instance.scheduled_at is None or instance.started_at is None:
        return {}  # scheduled by a release that did not note it
    due = max(instance.scheduled_at, instance.not_before)
    return {"triggers.queued_seconds": max(instance.started_at - due, 0.0)}


def _leading_to(manager: TriggerManager) -> Context:
    """Return the context of the run whose cascade or retry this is, else the current one."""
    just_run = _just_run.get()
    if just_run is not None and just_run[0]() is manager:
        return just_run[1]
    return get_current()


def _of_session(manager: TriggerManager) -> dict[str, Any]:
    return {"triggers.manager": manager.name, "triggers.session": manager.session_uid}


def _of_instance(manager: TriggerManager, instance: TaskInstance) -> dict[str, Any]:
    return {
        **_of_session(manager),
        "triggers.task": instance.task_name,
        "triggers.instance": instance.name,
        "triggers.attempt": instance.attempt,
    }
