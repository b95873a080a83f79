"""What an application writes: a task, and the context that it runs in (rule X2)."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, overload

from triggers_core.errors import ConfigurationError, InvalidKwargs, MaxRetriesExceeded
from triggers_core.manager import TriggerManager
from triggers_core.rules.instance import TaskInstance
from triggers_core.rules.kwargs import Result
from triggers_core.rules.names import shown
from triggers_core.rules.remarks import check_remark

if TYPE_CHECKING:
    _LoggerAdapter = logging.LoggerAdapter[logging.Logger]
else:
    _LoggerAdapter = logging.LoggerAdapter  # which Python 3.10 cannot subscript

OnWorkerLost = Literal["rerun", "fail"]
Filters = Mapping[str, Mapping[str, Callable[[Any], Any]]]


@dataclass(frozen=True)
class optional:  # noqa: N801 - reads as what it is called for: ``optional(Decimal, default=0)``
    """In the filters of :meth:`TaskContext.filter_kwargs`: a key that need not have been fired.

    Attributes:
        convert: as for any other key.
        default: what is returned, as it is, for a key that was not fired.
    """

    convert: Callable[[Any], Any]
    default: Any = None

    def __call__(self, value: Any) -> Any:
        """Return the value, converted."""
        return self.convert(value)


DEFAULT_MAX_RETRIES = 3
MAX_RETRIES = 1_000_000
MAX_COOLDOWN = 10 * 365 * 86_400.0
"""Seconds. Ten years: clocks, timers and databases of every kind can add it to today."""
MAX_LOGS = 100
"""Warnings and errors kept of one execution; the latest ones."""


class TriggerTask(ABC):
    """The base class of a task.

    Attributes:
        max_retries: how many times ``context.retry()`` starts the task again after the first
            try; then the instance fails.
        cooldown: seconds from a retry to the earliest start of the next try.
        on_worker_lost: what recovery does when the worker dies in the middle: ``"rerun"`` starts
            the task again, which counts as one of its ``max_retries``; ``"fail"`` records the
            instance as failed.
    """

    max_retries: int = DEFAULT_MAX_RETRIES
    cooldown: float = 0.0
    on_worker_lost: OnWorkerLost = "rerun"

    def reruns_left(self, attempt: int) -> int:
        """Return how often the attempt may be started again if its worker is lost."""
        return max(self.max_retries + 1 - attempt, 0) if self.on_worker_lost == "rerun" else 0

    @abstractmethod
    def run(self, context: TaskContext) -> Result:
        """Do the work; return the kwargs of the cascade, a mapping of JSON values or None.

        It may run more than once (a retry, or a worker lost in the middle): what it does to the
        outside must bear that. An exception makes the instance ``failed``.
        """


class FunctionTask(TriggerTask):
    """What :func:`trigger_task` makes of a function. Still callable as that function."""

    def __init__(
        self,
        function: Callable[[TaskContext], Result],
        *,
        max_retries: int = DEFAULT_MAX_RETRIES,
        cooldown: float = 0.0,
        on_worker_lost: OnWorkerLost = "rerun",
    ) -> None:
        if not callable(function):
            raise ConfigurationError(
                f"@trigger_task decorates a function of one argument, the context, "
                f"not {function!r:.80}"
            )
        self.function = function
        self.max_retries = check_max_retries(max_retries)
        self.cooldown = check_cooldown(cooldown)
        self.on_worker_lost = _check_on_worker_lost(on_worker_lost)
        self.__doc__ = function.__doc__

    def run(self, context: TaskContext) -> Result:
        return self.function(context)

    __call__ = run

    def __repr__(self) -> str:
        return f"trigger_task({self.function.__module__}.{self.function.__qualname__})"


@overload
def trigger_task(function: Callable[[TaskContext], Result], /) -> FunctionTask: ...


@overload
def trigger_task(
    *, max_retries: int = ..., cooldown: float = ..., on_worker_lost: OnWorkerLost = ...
) -> Callable[[Callable[[TaskContext], Result]], FunctionTask]: ...


def trigger_task(
    function: Callable[[TaskContext], Result] | None = None,
    /,
    *,
    max_retries: int = DEFAULT_MAX_RETRIES,
    cooldown: float = 0.0,
    on_worker_lost: OnWorkerLost = "rerun",
) -> FunctionTask | Callable[[Callable[[TaskContext], Result]], FunctionTask]:
    """Make a task of a function of one argument, the context. With or without parentheses.

    Args:
        max_retries: see :class:`TriggerTask`.
        cooldown: seconds; see :class:`TriggerTask`.
        on_worker_lost: see :class:`TriggerTask`.
    """

    def decorate(function: Callable[[TaskContext], Result]) -> FunctionTask:
        return FunctionTask(
            function,
            max_retries=max_retries,
            cooldown=cooldown,
            on_worker_lost=on_worker_lost,
        )

    return decorate if function is None else decorate(function)


class TaskInterruption(BaseException):
    """How ``context.retry()`` and ``context.skip()`` leave the task.

    Like ``asyncio.CancelledError`` it is no ``Exception``, so that a task's own ``except
    Exception`` lets it through.
    """


class RetryRequested(TaskInterruption):
    """Raised by ``context.retry()``."""

    def __init__(self, cooldown: float | None, max_retries: int | None) -> None:
        super().__init__("the task asked to be retried")
        self.cooldown = cooldown
        self.max_retries = max_retries

    @property
    def reason(self) -> BaseException | None:
        """What the task had caught when it asked, if anything."""
        return self.__cause__ or self.__context__

    def refusal(self, task: TriggerTask, context: TaskContext) -> MaxRetriesExceeded | None:
        """Return why the task is not tried again; None where it is."""
        max_retries = task.max_retries if self.max_retries is None else self.max_retries
        if context.attempt <= max_retries:
            return None
        refused = MaxRetriesExceeded(
            f"task {context.instance.task_name!r} asked for a retry after attempt "
            f"{context.attempt}, and its max_retries is {max_retries}"
        )
        refused.__cause__ = self.reason
        return refused


class SkipRequested(TaskInterruption):
    """Raised by ``context.skip()``."""

    def __init__(self, cascade: bool, result: Result, reason: str | None = None) -> None:
        super().__init__("the task asked to be skipped")
        self.cascade = cascade
        self.result = result
        self.reason = reason


class TaskContext:
    """What a task is given.

    Attributes:
        manager: bound to the session; fire further triggers with it.
        instance: the running instance.
        trigger_kwargs: trigger name (or other ``withParams`` key) → kwargs: the defaults with
            what was fired merged over them; never that of ``unless`` triggers. The task's own
            copy. Of a counted trigger, the latest.
        firings: counted trigger → the kwargs of each time that the instance took it, in order, each
            as in ``trigger_kwargs``; empty for one that it never took.
        logger: warnings and errors logged here are kept in the instance's metadata too.
    """

    def __init__(
        self,
        manager: TriggerManager,
        instance: TaskInstance,
        trigger_kwargs: dict[str, dict[str, Any]],
        firings: dict[str, list[dict[str, Any]]] | None = None,
    ) -> None:
        self.manager = manager
        self.instance = instance
        self.trigger_kwargs = trigger_kwargs
        self.firings = {} if firings is None else firings
        self.logger = InstanceLogger(instance)

    @property
    def attempt(self) -> int:
        """1 for the first try, 2 for the first retry, and so on."""
        return self.instance.attempt

    @property
    def taken(self) -> frozenset[str]:
        """The triggers that the instance took, those of ``unless`` that fired included."""
        return frozenset(self.instance.trigger_kwargs)

    def is_cancelled(self) -> bool:
        """Return whether the session was cancelled since the task began.

        For a task that takes long, to ask between two steps of its work. It is not stopped: it may
        end as it likes, which is recorded, and its cascade starts nothing.

        Cost: one look-up by an index. In a file that is a tenth of a millisecond or less, on a
        server three round trips: in a loop that turns faster than that, ask once in a while.

        Raises:
            StorageError: the store cannot be asked.
        """
        return self.manager.closing() is not None

    def filter_kwargs(self, filters: Filters) -> dict[str, dict[str, Any]]:
        """Return the named kwargs, each passed through its filter.

        ``context.filter_kwargs({"paid": {"amount": Decimal, "payer": str}})`` returns
        ``{"paid": {"amount": Decimal(…), "payer": "…"}}``.

        Args:
            filters: trigger name → key → a callable that converts the value, or raises; for a key
                that may be missing, ``optional(callable, default=…)``.

        Raises:
            InvalidKwargs: a key is missing that is not optional, or a filter refuses its value;
                the message names the trigger and the key.
        """
        return {
            trigger_name: {
                key: self._filtered(trigger_name, key, convert)
                for key, convert in of_trigger.items()
            }
            for trigger_name, of_trigger in filters.items()
        }

    def _filtered(self, trigger_name: str, key: str, convert: Callable[[Any], Any]) -> Any:
        kwargs = self.trigger_kwargs.get(trigger_name, {})
        if key not in kwargs and isinstance(convert, optional):
            return convert.default
        if key not in kwargs:
            raise InvalidKwargs(f"trigger {trigger_name!r}: the key {key!r} was not fired")
        try:
            return convert(kwargs[key])
        except Exception as error:
            raise InvalidKwargs(
                f"trigger {trigger_name!r}, key {key!r}: {type(error).__name__}: {error}"
            ) from error

    def retry(self, *, cooldown: float | None = None, max_retries: int | None = None) -> NoReturn:
        """Stop here and start the task again later, in a new instance (rule X4).

        Args:
            cooldown: seconds to wait at least; None for the task's own ``cooldown``.
            max_retries: None for the task's own ``max_retries``.

        Raises:
            ConfigurationError: the cooldown or the maximum is no such number.
        """
        raise RetryRequested(
            None if cooldown is None else check_cooldown(cooldown),
            None if max_retries is None else check_max_retries(max_retries),
        )

    def skip(
        self, *, cascade: bool = False, result: Result = None, reason: str | None = None
    ) -> NoReturn:
        """Stop here and mark the instance ``skipped`` (rule X5).

        Args:
            cascade: fire the trigger named after the task all the same, with ``result``.
            reason: why, in words; kept in the instance's metadata.

        Raises:
            InvalidKwargs: there is a result, but no cascade for it to go in; or the reason is no
                text. The instance fails of it, unless the task catches it.
        """
        if result is not None and not cascade:
            raise InvalidKwargs("context.skip: a result needs cascade=True to go anywhere")
        raise SkipRequested(cascade, result, check_remark(reason, "context.skip, reason"))


class InstanceLogger(_LoggerAdapter):
    """Logs to ``triggers.task.<task name>``, and keeps warnings and worse for the metadata."""

    def __init__(self, instance: TaskInstance) -> None:
        super().__init__(
            logging.getLogger(f"triggers.task.{instance.task_name}"),
            {"session_uid": instance.session_uid, "instance_name": instance.name},
        )
        self.kept: list[dict[str, str]] = []

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        if level >= logging.WARNING:
            text = _log_text(msg, args)
            self.kept.append({"level": logging.getLevelName(level), "message": text})
            del self.kept[:-MAX_LOGS]
        super().log(level, msg, *args, **kwargs)


def _log_text(msg: object, args: tuple[object, ...]) -> str:
    record = logging.LogRecord("", logging.WARNING, "", 0, msg, args, None)
    try:
        return record.getMessage()
    except Exception:
        # As in logging itself, a line that cannot be formatted breaks nothing but that line.
        return f"{msg!r}, which does not fit its arguments"


def check_max_retries(max_retries: Any) -> int:
    """Return the number of retries. Raises ConfigurationError unless it is one."""
    is_int = isinstance(max_retries, int) and not isinstance(max_retries, bool)
    if not is_int or not 0 <= max_retries <= MAX_RETRIES:
        raise ConfigurationError(
            f"max_retries must be an int from 0 to {MAX_RETRIES}, not {shown(max_retries)}"
        )
    checked: int = max_retries
    return checked


def check_cooldown(cooldown: Any) -> float:
    """Return the cooldown in seconds. Raises ConfigurationError unless it is one."""
    is_number = isinstance(cooldown, (int, float)) and not isinstance(cooldown, bool)
    if not is_number or not 0 <= cooldown <= MAX_COOLDOWN:
        raise ConfigurationError(
            f"cooldown must be seconds from 0 to {MAX_COOLDOWN:.0f}, not {shown(cooldown)}"
        )
    return float(cooldown)


def _check_on_worker_lost(choice: Any) -> OnWorkerLost:
    if choice not in get_args(OnWorkerLost):
        raise ConfigurationError(f"on_worker_lost must be 'rerun' or 'fail', not {shown(choice)}")
    checked: OnWorkerLost = choice
    return checked


def as_task(found: Any, target: str) -> TriggerTask:
    """Return the task that a ``run`` target led to: a class is instantiated, and what another
    framework calls a task is asked which one it is, by its method ``__trigger_task__``.

    Raises:
        ConfigurationError: it is no task, and the message says how to make it one; or one of
            its settings cannot be used.
    """
    task = _made_of(found)
    if not isinstance(task, TriggerTask):
        advice = "; decorate it with @trigger_task" if callable(found) else ""
        raise ConfigurationError(
            f"run target {target!r} is a {type(found).__name__}, not a TriggerTask{advice}"
        )
    try:
        check_max_retries(task.max_retries)
        check_cooldown(task.cooldown)
        _check_on_worker_lost(task.on_worker_lost)
    except ConfigurationError as error:
        raise ConfigurationError(f"run target {target!r}: {error}") from None
    return task


def _made_of(found: Any) -> Any:
    if isinstance(found, type):
        return found() if issubclass(found, TriggerTask) else found
    convert = getattr(found, "__trigger_task__", None)
    return found if convert is None else convert()
