"""A configuration: which tasks there are and what each waits for (rules C1 to C12).

Parsing checks everything before a :class:`Configuration` exists, so whoever holds one holds a
valid one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from triggers_core.errors import ConfigurationError, InvalidKwargs, InvalidName
from triggers_core.rules import conditions
from triggers_core.rules.conditions import Entry, Number
from triggers_core.rules.entries import read_entries, written
from triggers_core.rules.kwargs import encode_json, from_json, merge_kwargs, to_json
from triggers_core.rules.names import check_name, did_you_mean, shown

DIRECTIVES = ("after", "run", "andEvery", "unless", "withParams", "using", "onFailure")

OWN_PREFIX = "x-"
"""Begins the directives of an application, which no plugin need claim."""

ValidateDirective = Callable[[str, str, Any], bool]
"""(task name, directive, value) → whether somebody claims the directive. Raises ValueError when
the one who claims it finds the value wrong."""


def nobody_claims(_task_name: str, _directive: str, _value: Any) -> bool:
    """The validator where no plugin adds a directive."""
    return False


class NotesUnclaimed:
    """A validator that passes on to another, and notes the directives which nobody claims.

    Attributes:
        found: (task name, directive) of each, but for those that say by their prefix that they
            are the application's own.
    """

    def __init__(self, validate_directive: ValidateDirective) -> None:
        self._validate = validate_directive
        self.found: list[tuple[str, str]] = []

    def __call__(self, task_name: str, directive: str, value: Any) -> bool:
        """Return what the other says."""
        claimed = self._validate(task_name, directive, value)
        if not claimed and not directive.startswith(OWN_PREFIX):
            self.found.append((task_name, directive))
        return claimed


def unclaimed_text(task_name: str, directive: str) -> str:
    """Return what there is to say of a directive that nobody claims."""
    advice = did_you_mean(directive, DIRECTIVES) or "install the plugin that claims it"
    return (
        f"task {task_name!r}: nobody here knows the directive {directive!r}, which is kept and "
        f"has no effect; {advice}, or begin its name with {OWN_PREFIX!r}"
    )


def _claimed_before(_task_name: str, _directive: str, _value: Any) -> bool:
    """The validator of what was validated when it was stored: the plugin may be elsewhere."""
    return True


@dataclass(frozen=True)
class TaskConfig:
    """One task's directives, checked.

    Attributes:
        name: the task's name; as a trigger, the name of its cascade.
        after: what must all hold, in the order written: names of triggers, and conditions; none
            if ``and_every`` alone starts the task.
        run: the dotted name (or Celery task name) of what to run.
        and_every: the trigger each further firing of which makes a further instance, or None.
        unless: what, all of it holding, abandons an instance not yet scheduled.
        with_params: trigger name (or any other key) → default kwargs.
        using: the runner's name, or None for the manager's choice.
        on_failure: the trigger that fires when an instance has failed for good, or None.
        extras: the directives that the core does not know, as written.
    """

    name: str
    after: tuple[Entry, ...]
    run: str
    and_every: str | None = None
    unless: tuple[Entry, ...] = ()
    with_params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    using: str | None = None
    on_failure: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def awaited(self) -> frozenset[str]:
        """The triggers that ``after`` and ``andEvery`` name: each of them is needed before an
        instance runs, but for what conditions leave open."""
        named = frozenset(conditions.names(self.after))
        return named | {self.and_every} if self.and_every else named

    @cached_property
    def triggers(self) -> frozenset[str]:
        """The triggers that an instance takes: awaited and ``unless``."""
        return self.awaited | frozenset(conditions.names(self.unless))

    @cached_property
    def ignored(self) -> frozenset[str]:
        """The triggers that an instance takes, and its task does not get: those of ``unless``."""
        return self.triggers - self.awaited

    @cached_property
    def is_plain(self) -> bool:
        """Whether it waits for a list of triggers, and has no condition."""
        return all(isinstance(entry, str) for entry in (*self.after, *self.unless))

    @cached_property
    def counted(self) -> frozenset[str]:
        """The triggers that an instance takes again each time (C11)."""
        return frozenset(each.trigger for each in conditions.eaches((*self.after, *self.unless)))

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """The numbers that triggers bring (C12)."""
        found = (each.times for each in conditions.eaches((*self.after, *self.unless)))
        return tuple(times for times in found if isinstance(times, Number))

    def may_start(self, may_fire: Callable[[str], bool]) -> bool:
        """Return whether an instance may become ready where only some triggers may ever fire."""
        has_every = self.and_every is None or may_fire(self.and_every)
        return has_every and all(conditions.can_hold(entry, may_fire) for entry in self.after)

    def check_numbers(self, trigger_name: str, trigger_kwargs: Mapping[str, Any]) -> None:
        """Raise InvalidKwargs if the trigger is to bring a number, and these kwargs have none."""
        for number in self.numbers:
            if number.trigger == trigger_name:
                conditions.check_number(number, trigger_kwargs, self.name)

    def received(self, taken: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the kwargs that the task gets of what its instance took (C5), merged over the
        defaults. What would have abandoned it is none of its business; what it took by an earlier
        configuration is."""
        fired = {name: kwargs for name, kwargs in taken.items() if name not in self.ignored}
        return merge_kwargs(self.with_params, fired)

    def received_each(
        self, trigger_name: str, firings: Iterable[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return the kwargs that the task gets of each firing of a counted trigger, in order."""
        defaults = self.with_params.get(trigger_name, {})
        return [merge_kwargs(defaults, kwargs) for kwargs in firings]

    @classmethod
    def parse(
        cls,
        name: str,
        directives: Mapping[str, Any],
        validate_directive: ValidateDirective = nobody_claims,
    ) -> TaskConfig:
        """Return the task that ``directives`` describe.

        Raises:
            ConfigurationError: it names the task, the directive and what was expected.
        """
        _check_task_name(name)
        if not isinstance(directives, Mapping):
            raise ConfigurationError(
                f"task {name!r}: expected a mapping of directives, not {type(directives).__name__}"
            )
        extras = {
            directive: _extra(name, directive, value, validate_directive)
            for directive, value in directives.items()
            if directive not in DIRECTIVES
        }
        if "run" not in directives:
            raise ConfigurationError(f"task {name!r}: the directive 'run' is missing")
        after = read_entries(name, "after", directives.get("after", ()))
        unless = read_entries(name, "unless", directives.get("unless", ()))
        and_every = _optional_name(name, "andEvery", "trigger", directives)
        if not after and and_every is None:
            raise ConfigurationError(
                f"task {name!r}: it waits for nothing; name the triggers that must all fire in "
                "'after', as a list, or in 'andEvery' the one each firing of which starts it"
            )
        if any(name in conditions.certain(entry) for entry in after):
            raise ConfigurationError(
                f"task {name!r}: 'after' names the task itself, so it could never start; "
                "a task can follow itself only through 'andEvery'"
            )
        if and_every is not None:
            _check_counts_nothing(name, after, unless)
        return cls(
            name=name,
            after=after,
            run=_run_target(name, directives["run"]),
            and_every=and_every,
            unless=unless,
            with_params=_params(name, directives.get("withParams", {})),
            using=_optional_name(name, "using", "runner", directives),
            on_failure=_on_failure(name, directives),
            extras=extras,
        )

    def to_directives(self) -> dict[str, Any]:
        """Return the directives as they would be written: the inverse of :meth:`parse`."""
        directives: dict[str, Any] = {"after": [written(entry) for entry in self.after]}
        directives["run"] = self.run
        if self.and_every is not None:
            directives["andEvery"] = self.and_every
        if self.unless:
            directives["unless"] = [written(entry) for entry in self.unless]
        if self.with_params:
            directives["withParams"] = self.with_params
        if self.using is not None:
            directives["using"] = self.using
        if self.on_failure is not None:
            directives["onFailure"] = self.on_failure
        return {**directives, **self.extras}


class Configuration(Mapping[str, TaskConfig]):
    """Task name → :class:`TaskConfig`, in the order written. Immutable."""

    def __init__(self, tasks: Mapping[str, TaskConfig] | None = None) -> None:
        self._tasks = dict(tasks or {})
        self._by_trigger: dict[str, list[TaskConfig]] = {}
        for task in self._tasks.values():
            for trigger_name in sorted(task.triggers):
                self._by_trigger.setdefault(trigger_name, []).append(task)

    @classmethod
    def parse(
        cls,
        configuration: Mapping[str, Mapping[str, Any]],
        validate_directive: ValidateDirective = nobody_claims,
    ) -> Configuration:
        """Return the configuration, wholly checked.

        Raises:
            ConfigurationError: the first rule broken, naming the task and the directive.
        """
        if not isinstance(configuration, Mapping):
            raise ConfigurationError(
                "a configuration must be a mapping of task names to directives, "
                f"not {type(configuration).__name__}"
            )
        return cls(
            {
                name: TaskConfig.parse(name, directives, validate_directive)
                for name, directives in configuration.items()
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Configuration:
        """Return the configuration that :meth:`to_json` wrote.

        Raises:
            ValueError, RecursionError: it did not write this.
        """
        return cls.parse(from_json(text), _claimed_before)

    def to_json(self) -> str:
        """Return the text that storages keep; :attr:`digest` is made from it."""
        return self._json

    def updated(self, other: Configuration) -> Configuration:
        """Return a configuration in which the tasks of ``other`` are added or replaced."""
        return Configuration({**self._tasks, **other._tasks})

    def without(self, names: Collection[str]) -> Configuration:
        """Return a configuration without the tasks of these names, of which it need have none."""
        return Configuration({name: task for name, task in self.items() if name not in names})

    @cached_property
    def counted(self) -> frozenset[str]:
        """The triggers that some task counts (C11)."""
        return frozenset().union(*(task.counted for task in self._tasks.values()))

    @cached_property
    def failing(self) -> Mapping[str, tuple[str, ...]]:
        """The triggers that failures fire → the tasks whose failures do, in the order written."""
        found: dict[str, tuple[str, ...]] = {}
        for task in self._tasks.values():
            if task.on_failure is not None:
                found[task.on_failure] = (*found.get(task.on_failure, ()), task.name)
        return found

    def tasks_with(self, trigger_name: str) -> list[TaskConfig]:
        """Return the tasks whose awaited or ``unless`` set has the trigger."""
        return self._by_trigger.get(trigger_name, [])

    @cached_property
    def digest(self) -> str:
        """A name for the content, order included: what is written alike has one digest."""
        import hashlib  # noqa: PLC0415 - slow to import, and used on demand

        return hashlib.sha256(self._json.encode()).hexdigest()

    @cached_property
    def _json(self) -> str:
        return to_json({name: task.to_directives() for name, task in self._tasks.items()})

    def __getitem__(self, name: str) -> TaskConfig:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"Configuration({', '.join(self._tasks)})"


def _check_task_name(name: Any) -> None:
    try:
        check_name(name, "task")
    except InvalidName as error:
        raise ConfigurationError(str(error)) from None
    if "#" in name:
        raise ConfigurationError(f"task {name!r}: '#' is kept for instance names; leave it out")


def _check_counts_nothing(task_name: str, *directives: tuple[Entry, ...]) -> None:
    for each in conditions.eaches(entry for entries in directives for entry in entries):
        raise ConfigurationError(
            f"task {task_name!r}, directive 'andEvery': it makes several instances, and which of "
            f"them would take each {each.trigger!r} is not said; leave out 'andEvery' or 'each'"
        )


def _optional_name(
    task_name: str, directive: str, kind: str, directives: Mapping[str, Any]
) -> str | None:
    value = directives.get(directive)
    if value is None:
        return None
    where = f"task {task_name!r}, directive {directive!r}"
    if isinstance(value, (list, tuple)):
        raise ConfigurationError(f"{where}: expected one {kind} name, not a list: {shown(value)}")
    return _check_name_in(where, value, kind)


def _on_failure(task_name: str, directives: Mapping[str, Any]) -> str | None:
    trigger_name = _optional_name(task_name, "onFailure", "trigger", directives)
    if trigger_name == task_name:
        raise ConfigurationError(
            f"task {task_name!r}, directive 'onFailure': names the task itself, whose trigger says "
            "that it has finished; give the trigger of its failure another name"
        )
    return trigger_name


def _run_target(task_name: str, value: Any) -> str:
    where = f"task {task_name!r}, directive 'run'"
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{where}: expected the task's dotted name as a str ('app.tasks.send'), "
            f"not {type(value).__name__}"
        )
    return _check_name_in(where, value, "target")


def _check_name_in(where: str, value: Any, kind: str) -> str:
    try:
        return check_name(value, kind)
    except InvalidName as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _params(task_name: str, value: Any) -> Mapping[str, Mapping[str, Any]]:
    where = f"task {task_name!r}, directive 'withParams'"
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"{where}: expected a mapping of trigger names to kwargs, not {type(value).__name__}"
        )
    for key, kwargs in value.items():
        if not isinstance(kwargs, Mapping):
            raise ConfigurationError(
                f"{where}: expected a mapping of kwargs for {shown(key)}, not {shown(kwargs)}"
            )
    copied: dict[str, dict[str, Any]] = _json_copy(
        where, {key: dict(kwargs) for key, kwargs in value.items()}
    )
    return copied


def _extra(
    task_name: str, directive: Any, value: Any, validate_directive: ValidateDirective
) -> Any:
    if not isinstance(directive, str):
        raise ConfigurationError(
            f"task {task_name!r}: a directive's name must be a str, not {shown(directive)}"
        )
    where = f"task {task_name!r}, directive {directive!r}"
    copied = _json_copy(where, value)
    try:
        claimed = validate_directive(task_name, directive, copied)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    for known in () if claimed else DIRECTIVES:
        if _looks_like(directive, known):
            raise ConfigurationError(f"{where} is unknown; did you mean {known!r}?")
    return copied


def _json_copy(where: str, value: Any) -> Any:
    try:
        return json.loads(encode_json(value, where))
    except InvalidKwargs as error:
        raise ConfigurationError(str(error)) from None


def _looks_like(directive: str, known: str) -> bool:
    plain = directive.replace("_", "").replace("-", "").lower()
    from difflib import get_close_matches  # noqa: PLC0415 - slow to import, rarely used

    return bool(get_close_matches(plain, [known.lower()], cutoff=0.75))
