"""How a trace gets from one place to another: kept in this process, or in a message's headers."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter

from triggers_core.forks import ProcessLock

if TYPE_CHECKING:
    from triggers_core import Storage, TriggerManager

MOST_KEPT = 10_000
"""Contexts kept of one storage; the oldest is forgotten, and its instance begins a new trace."""


def has_span(context: Context | None = None) -> bool:
    """Return whether the context, or else the current one, is within a span."""
    return trace.get_current_span(context).get_span_context().is_valid


class Kept:
    """Contexts that wait in this process for what becomes of an instance. Thread-safe."""

    def __init__(self) -> None:
        self._process = ProcessLock()
        self._kept: WeakKeyDictionary[Storage, OrderedDict[tuple[Any, ...], Context]] = (
            WeakKeyDictionary()
        )

    def put(self, manager: TriggerManager, *key: Any, context: Context) -> None:
        """Keep a context, if it is within a span, for whoever takes it by the same key."""
        if not has_span(context):
            return
        with self._process.lock:
            of_storage = self._kept.setdefault(manager.storage, OrderedDict())
            of_storage[_of_session(manager, key)] = context
            if len(of_storage) > MOST_KEPT:
                of_storage.popitem(last=False)

    def take(self, manager: TriggerManager, *key: Any) -> Context | None:
        """Return the context kept by that key, and keep it no longer; None without one."""
        with self._process.lock:
            of_storage = self._kept.get(manager.storage, OrderedDict())
            return of_storage.pop(_of_session(manager, key), None)


def _of_session(manager: TriggerManager, key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (manager.session_uid, *key)


class _RequestGetter(Getter[Any]):
    """Reads the headers of the Celery message at hand: Celery makes them attributes."""

    def get(self, carrier: Any, key: str) -> list[str] | None:
        value = getattr(carrier, key, None) or (carrier.headers or {}).get(key)
        return None if value is None else [str(value)]

    def keys(self, carrier: Any) -> list[str]:
        return []


def connect_celery() -> None:
    """Have each message that Celery sends carry the current trace, once Celery is in use.

    Idempotent. Celery is never imported for it: a process that sends its messages has it.
    """
    if "celery" in sys.modules:
        from celery.signals import before_task_publish  # noqa: PLC0415 - see above

        before_task_publish.connect(_put_in_headers, dispatch_uid="triggers-opentelemetry")


def from_celery() -> Context | None:
    """Return the context that the Celery message at hand carries; None without any."""
    if "celery" not in sys.modules:
        return None
    from celery import current_task  # noqa: PLC0415 - see above

    if not current_task:
        return None
    context = propagate.extract(current_task.request, Context(), _RequestGetter())
    return context if has_span(context) else None


def _put_in_headers(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Carry the current trace; or that of the message at hand, which is merely sent on."""
    if headers is None or not set(headers).isdisjoint(propagate.get_global_textmap().fields):
        return
    context = None if has_span() else from_celery()
    propagate.inject(headers, context)
