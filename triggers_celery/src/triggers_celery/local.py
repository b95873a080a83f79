"""A Celery task under a runner that is not Celery's: it runs in whatever thread that runner has.

Celery's own way of running a task where it is called (``Task.apply``) brings the request, the
handlers and the signals. The task gets the same message as from a broker; but its instance is
claimed already, so what it leads to is the context at hand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from celery.exceptions import Ignore
from celery.result import EagerResult

from triggers_celery.directive import message_options
from triggers_celery.ending import Translated, as_replayed, in_the_cores_words
from triggers_celery.message import task_id
from triggers_core import Reference, TaskContext, TriggersError
from triggers_core.rules.kwargs import Result
from triggers_core.task import RetryRequested, SkipRequested

_logger = logging.getLogger(__name__)


class LocalTask(Translated):
    """A Celery task that any runner can execute."""

    def run(self, context: TaskContext) -> Result:
        visit = Visit(self, context)
        with _at_hand(visit):
            told = self._applied(visit)
        if not visit.has_run:
            return self._never_ran(told)
        return visit.outcome()

    def run_itself(self, context: TaskContext) -> Result:
        """Run the task and nothing around it."""
        return super().run(context)

    def _applied(self, visit: Visit) -> EagerResult | None:
        options = message_options(visit.context.manager.task_config(visit.context.instance))
        try:
            return self.task.apply(
                args=[visit.message],
                task_id=task_id(visit.reference),
                retries=visit.context.attempt - 1,
                throw=False,
                headers=options.get("headers"),
                priority=options.get("priority"),
            )
        except Exception:
            if not visit.has_run:
                raise
            _logger.exception("%s has ended, and then a handler raised", visit.name)
            return None

    def _never_ran(self, told: EagerResult | None) -> Result:
        """End as what went before the task did: ``before_start``, or a class' own ``__call__``."""
        with in_the_cores_words():
            if told is not None and isinstance(told.result, BaseException):
                raise told.result
        raise TriggersError(f"Celery task {self.task.name!r}: its __call__ did not run the task")


class Visit:
    """One run of a task amid what Celery has around it.

    Attributes:
        has_run: whether the task has been run.
    """

    def __init__(self, task: LocalTask, context: TaskContext) -> None:
        self.context = context
        self.reference = Reference.within(context.manager, context.instance)
        self.message = self.reference.to_dict()
        self.name = f"session {context.manager.session_uid!r}: {context.instance.name}"
        self.has_run = False
        self._task = task
        self._result: Result = None
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def run(self) -> Result:
        """Run the task, once; raise what tells Celery how it ended."""
        if self.has_run:
            raise Ignore
        self.has_run = True
        try:
            self._result = self._task.run_itself(self.context)
        except BaseException as error:
            self._error, self._traceback = error, error.__traceback__
            if (told := self._told(error)) is not error:
                raise told from error
            raise
        return self._result

    def outcome(self) -> Result:
        """Return the task's result, or raise what it raised, for the core."""
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)
        return self._result

    def _told(self, error: BaseException) -> Any:
        """Return what the task would have raised in Celery's words."""
        if isinstance(error, SkipRequested):
            return Ignore()
        if isinstance(error, RetryRequested):
            refusal = error.refusal(self._task, self.context)
            return refusal or as_replayed(self.context.instance.name, error.reason)
        return error


def visit_for(message: Any) -> Visit | None:
    """Return the visit that a message was made for, in this thread; None for one from a broker."""
    visit = _visit.get()
    is_its = visit is not None and isinstance(message, Mapping) and message == visit.message
    return visit if is_its else None


_visit: ContextVar[Visit | None] = ContextVar("triggers_celery_visit", default=None)


@contextmanager
def _at_hand(visit: Visit) -> Iterator[None]:
    token = _visit.set(visit)
    try:
        yield
    finally:
        _visit.reset(token)
