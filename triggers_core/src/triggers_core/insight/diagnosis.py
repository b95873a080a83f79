"""Why a task has not run, as a person who is woken at night wants to read it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from triggers_core.errors import TaskNotFound
from triggers_core.insight.notes import closed_at, followed_by, moment, said_of, span
from triggers_core.insight.wording import missing, open_entries, said, said_in_order, taken_by
from triggers_core.rules import conditions
from triggers_core.rules.closing import Closing
from triggers_core.rules.conditions import Entry, Taken
from triggers_core.rules.config import Configuration, TaskConfig
from triggers_core.rules.instance import Status, TaskInstance, counted
from triggers_core.rules.names import most_alike
from triggers_core.rules.remarks import REASON

MOST_INSTANCES = 10
"""Instances of one task that are told of one by one; the rest are counted."""
MOST_TASKS_DEEP = 50
"""Tasks that wait for one another, told of in a row; nobody reads further."""
MOST_LOGS = 5
"""Kept log lines that are told of an instance; the latest ones."""

_OPEN = (Status.FAILED, Status.RUNNING, Status.SCHEDULED, Status.UNSTARTED)
"""The statuses that ask for a person's attention, or that something is still to come of."""


@dataclass(frozen=True)
class Finding:
    """A sentence, what it follows from, and text to show as it is: a traceback, or nothing."""

    text: str
    because: tuple[Finding, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of a session.

    Attributes:
        configuration: the present one.
        instances: all of them.
        fired: those of the configuration's triggers that have fired.
        unawaited: others that have fired, which no task names.
        config_of: returns the directives that an instance lives by.
        runner_of: returns the name of an instance's runner, or raises what keeps it from having
            one.
        now: seconds since the epoch, UTC, by the storage's clock.
        closing: how the session was cancelled or closed, if it was.
    """

    configuration: Configuration
    instances: Sequence[TaskInstance]
    fired: Collection[str]
    unawaited: Collection[str]
    config_of: Callable[[TaskInstance], TaskConfig]
    runner_of: Callable[[TaskInstance], str]
    now: float
    closing: Closing | None = None

    def is_outdated(self, instance: TaskInstance) -> bool:
        """Return whether the instance's task has other directives by now than the instance."""
        present = self.configuration.get(instance.task_name)
        return present is not None and present != self.config_of(instance)


def explain(name: str, facts: Facts) -> Finding:
    """Return how a task or one instance stands, down through the tasks that it waits for.

    Args:
        name: of the task, or of one instance.

    Raises:
        TaskNotFound: the session has neither.
    """
    found = _found(name, facts)
    if facts.closing is None:
        return found
    over = Finding(f"the session was {closed_at(facts.closing, facts.now)}; nothing in it begins")
    return replace(found, because=(over, *found.because))


def _found(name: str, facts: Facts) -> Finding:
    explainer = _Explainer(facts, asked=name)
    for instance in facts.instances:
        if instance.name == name:
            return explainer.instance(instance)
    if name in explainer.tasks:
        return explainer.task(name)
    known = ", ".join(facts.configuration) or "none"
    raise TaskNotFound(f"the session has no task or instance {name!r}; its tasks are: {known}")


class _Explainer:
    """One explanation: each task is explained where it first turns up, and once."""

    def __init__(self, facts: Facts, asked: str) -> None:
        self._facts = facts
        self._asked = asked
        self._explained: set[str] = set()
        self._depth = 0
        self._by_task: dict[str, list[TaskInstance]] = {}
        for instance in facts.instances:
            self._by_task.setdefault(instance.task_name, []).append(instance)
        self.tasks = {*facts.configuration, *self._by_task}
        """Those of the configuration, and those that were once."""

    def task(self, name: str) -> Finding:
        if name in self._explained:
            return Finding(f"{name}: see above")
        self._explained.add(name)
        instances = self._by_task.get(name, [])
        if not instances:
            return self._not_begun(self._facts.configuration[name])
        told = [instance for instance in instances if instance.status in _OPEN] or instances[-1:]
        findings = tuple(self.instance(instance) for instance in told[-MOST_INSTANCES:])
        if len(instances) == 1:
            return findings[0]
        summary = counted(instance.status for instance in instances)
        return Finding(f"{name} has {len(instances)} instances: {summary}", findings)

    def instance(self, instance: TaskInstance) -> Finding:
        """Return how it stands, what keeps it there, and what to do."""
        self._explained.add(instance.task_name)
        traceback = instance.metadata.get("error", {}).get("traceback", "").rstrip()
        return Finding(
            self._state(instance),
            (*_said(instance), *self._because(instance), *_logs(instance)),
            f"{instance.name}: {traceback}" if traceback else "",
        )

    def _not_begun(self, config: TaskConfig) -> Finding:
        if self._facts.closing is not None:
            return Finding(f"{config.name} had not begun when the session was closed")
        fired = config.triggers & set(self._facts.fired)
        if not fired:
            text = f"{config.name} has not begun: none of its triggers has fired"
            return Finding(text, self._waits_whole(config, frozenset()))
        return Finding(
            f"{config.name} has not begun: {_names(fired)} fired before the task was configured. "
            "The next of its triggers makes its first instance, which takes those too",
            self._waits_whole(config, fired),
        )

    def _state(self, instance: TaskInstance) -> str:
        now, name = self._facts.now, instance.name
        tries = f", attempt {instance.attempt}" if instance.attempt > 1 else ""
        since = (
            f"since {moment(instance.changed_at)} UTC ({span(now - instance.changed_at)}){tries}"
        )
        if instance.status is Status.UNSTARTED:
            return f"{name} waits {since}; it has taken {_taken(instance)}"
        if instance.status is Status.SCHEDULED and instance.not_before > now:
            return (
                f"{name} is delayed until {moment(instance.not_before)} UTC "
                f"(another {span(instance.not_before - now)}){tries}"
            )
        if instance.status is Status.SCHEDULED:
            return f"{name} is scheduled {since}, and no worker has claimed it"
        if instance.status is Status.RUNNING and self._is_lost(instance):
            return f"{name} is running {since}, but its worker is lost"
        if instance.status is Status.RUNNING:
            return f"{name} is running {since}"
        return self._end(instance, tries)

    def _end(self, instance: TaskInstance, tries: str) -> str:
        name, since = instance.name, self._facts.now - instance.changed_at
        ended = f"{moment(instance.changed_at)} UTC ({span(since)} ago){tries}"
        if self._is_abandoned_with_all(instance):
            return f"{name} was abandoned with the session at {ended}"
        if instance.status is Status.ABANDONED and REASON in instance.metadata:
            return f"{name} was abandoned by hand at {ended}"
        if instance.status is Status.ABANDONED:
            unless = said_in_order(_sorted(self._facts.config_of(instance).unless))
            return f"{name} was abandoned at {ended}: {unless} fired first, and it never runs"
        error = instance.metadata.get("error")
        reason = f": {error['type']}: {error['message']}" if error else ""
        was = "" if instance.status in (Status.FINISHED, Status.FAILED) else "was "
        return f"{name} {was}{instance.status} at {ended}{reason}"

    def _because(self, instance: TaskInstance) -> Iterable[Finding]:
        if instance.status is Status.UNSTARTED:
            config = self._facts.config_of(instance)
            taken = taken_by(instance)
            waits = [self._waits_for(entry, taken) for entry in _in_order(config, taken)]
            return (*waits, *map(Finding, self._other_ways(instance)))
        if instance.status is Status.SCHEDULED:
            unclaimed = self._why_not_claimed(instance)
            return map(Finding, (*unclaimed, *self._way_out(instance)))
        if instance.status is Status.RUNNING:
            return map(Finding, self._lease(instance))
        return self._after_the_end(instance)

    def _other_ways(self, instance: TaskInstance) -> Iterator[str]:
        """Yield what may be done with one that waits, beside firing what it waits for."""
        if instance.task_name not in self._facts.configuration:
            yield "its task was taken out of the configuration; it goes on as it was made"
        elif self._facts.is_outdated(instance):
            yield (
                "its task is configured otherwise by now, and it goes on as it was made; "
                f"to take it over: {_command('reconfigure', *_where(instance))}"
            )
        yield from self._way_out(instance)

    def _way_out(self, instance: TaskInstance) -> Iterator[str]:
        """Yield how it is given up, where that is what was asked about: whoever asks about what
        comes later wants to go on."""
        is_retired = instance.task_name not in self._facts.configuration
        if is_retired or self._asked in {instance.name, instance.task_name}:
            given_up = _command("abandon", *_where(instance), options="--reason '…'")
            yield f"to give it up: {given_up}"

    def _why_not_claimed(self, instance: TaskInstance) -> Iterator[str]:
        tried = self._parent_of(instance)
        if tried is not None and instance.not_before:
            error = tried.metadata.get("error")
            reason = f", which ended with {error['type']}: {error['message']}" if error else ""
            yield f"it retries {tried.name}{reason}"
        try:
            runner = self._facts.runner_of(instance)
        except Exception as error:
            yield f"it reaches no runner from here: {error}"
            return
        left = (instance.recover_at or 0.0) - self._facts.now
        if instance.not_before > self._facts.now:
            yield f"the runner {runner!r} starts it then"
        elif left > 0:
            yield f"the runner {runner!r} was given it: is one of its workers there, and free?"
            yield f"recovery sends it again in {span(left)}, if it is still not claimed"
        else:
            yield f"its message to the runner {runner!r} is lost, or no worker takes it"
            yield f"recovery is to send it again since {span(-left)}: does `triggers recover` run?"

    def _lease(self, instance: TaskInstance) -> Iterator[str]:
        left = (instance.recover_at or 0.0) - self._facts.now
        if left > 0:
            yield f"its worker is alive: the lease was renewed, and holds for {span(left)}"
            if self._facts.closing is not None:
                yield "it may end as it likes: context.is_cancelled() tells it when it asks"
            return
        yield f"the worker gave no sign of life until its lease ran out, {span(-left)} ago"
        is_rerun = instance.reruns_left and self._facts.closing is None
        then = "starts it again" if is_rerun else "records it as failed, without a rerun"
        yield f"recovery {then}: does `triggers recover` run?"

    def _after_the_end(self, instance: TaskInstance) -> Iterator[Finding]:
        where = _where(instance)
        if followed := followed_by(instance):
            yield Finding(f"when it failed, {followed}{self._states_of_takers(instance)}")
        if instance.status is Status.FAILED:
            if instance.metadata.get("logs_resolved"):
                yield Finding("somebody has marked this as resolved")
            if self._facts.closing is not None:
                return
            yield Finding(f"to run it again, once mended: {_command('replay', *where)}")
            skipped = _command("skip", *where, options="--result '{}'")
            yield Finding(f"to go on without it: {skipped}")
        elif instance.status is Status.REPLAYED:
            clones = [each for each in self._facts.instances if each.parent == instance.name]
            for clone in clones:
                if clone.task_name == instance.task_name:
                    yield Finding(f"{clone.name} stands in for it, and is {clone.status}")
        elif self._holds_others_up(instance):
            fired = _command("fire", instance.session_uid, instance.task_name)
            yield Finding(
                f"it was {instance.status} without a cascade: what waits for it needs {fired}"
            )

    def _waits_whole(self, config: TaskConfig, fired: Collection[str]) -> tuple[Finding, ...]:
        """Return what a task waits for that has no instance, but for the triggers that have fired:
        how often, and with which numbers, is for its first instance to see."""
        taken = Taken({name: {} for name in fired}, {})
        return tuple(
            self._waits_for(entry, taken)
            if isinstance(entry, str)
            else Finding(f"waits for {said(entry)}", self._ends_within(entry, taken))
            for entry in _in_order(config, taken)
        )

    def _waits_for(self, entry: Entry, taken: Taken) -> Finding:
        if not isinstance(entry, str):
            verb = "has" if missing(entry, taken)[0].isdigit() else "waits for"
            return Finding(f"{verb} {missing(entry, taken)}", self._ends_within(entry, taken))
        if entry in self.tasks:
            return Finding(f"waits for {entry!r}, the end of a task", (self._further(entry),))
        if entry in self._facts.configuration.failing:
            return self._waits_for_failure(entry)
        return Finding(f"waits for {entry!r}, which has not fired{self._but_alike(entry)}")

    def _waits_for_failure(self, trigger_name: str) -> Finding:
        tasks = self._facts.configuration.failing[trigger_name]
        fails = f"{' or '.join(tasks)} fails for good"
        return Finding(
            f"waits for {trigger_name!r}, which is fired when {fails}",
            tuple(self._further(name) for name in tasks),
        )

    def _states_of_takers(self, instance: TaskInstance) -> str:
        took = instance.metadata["followed"]["took"]
        takers = [each for each in self._facts.instances if each.name in took]
        return "".join(f"; {each.name} is {each.status}" for each in takers)

    def _ends_within(self, entry: Entry, taken: Taken) -> tuple[Finding, ...]:
        """Return how the tasks stand whose ends a condition is missing, and what is misspelt."""
        found: list[Finding] = []
        for name in dict.fromkeys(conditions.names([entry])):
            if name in taken.kwargs and name not in taken.counts:
                continue
            if name in self.tasks:
                found.append(self._further(name))
            elif name not in taken.kwargs and (alike := self._but_alike(name)):
                found.append(Finding(f"{name!r} has not fired{alike}"))
        return tuple(found)

    def _but_alike(self, name: str) -> str:
        alike = most_alike(name, self._facts.unawaited)
        if alike is None:
            return ""
        return f"; {alike!r} has, and no task waits for that: is one misspelt?"

    def _further(self, name: str) -> Finding:
        if self._depth == MOST_TASKS_DEEP:
            return Finding(f"{name}: and so on; ask why of it by itself")
        self._depth += 1
        try:
            return self.task(name)
        finally:
            self._depth -= 1

    def _parent_of(self, instance: TaskInstance) -> TaskInstance | None:
        found = (each for each in self._facts.instances if each.name == instance.parent)
        return next(found, None)

    def _holds_others_up(self, instance: TaskInstance) -> bool:
        """Return whether it was given up, and somebody waits for what does not follow from it."""
        waiters = self._facts.configuration.tasks_with(instance.task_name)
        return bool(waiters) and self._facts.closing is None and _ended_by_hand(instance)

    def _is_abandoned_with_all(self, instance: TaskInstance) -> bool:
        closing = self._facts.closing
        is_abandoned = instance.status is Status.ABANDONED
        return is_abandoned and closing is not None and instance.changed_at >= closing.at

    def _is_lost(self, instance: TaskInstance) -> bool:
        return instance.recover_at is not None and instance.recover_at <= self._facts.now


def _ended_by_hand(instance: TaskInstance) -> bool:
    """Return whether it was given up, and nothing follows from it by itself."""
    if instance.status is Status.SKIPPED:
        return "result" not in instance.metadata
    return instance.status is Status.ABANDONED and REASON in instance.metadata


def _where(instance: TaskInstance) -> tuple[str, str]:
    return instance.session_uid, instance.name


def _command(command: str, *arguments: str, options: str = "") -> str:
    """Return what is typed in a shell. A name that begins as an option does comes after ``--``."""
    typed = shlex.join(arguments)
    parts = (typed, options)
    if any(argument.startswith("-") for argument in arguments):
        parts = (options, f"-- {typed}")
    return " ".join(filter(None, ("triggers", command, *parts)))


def _said(instance: TaskInstance) -> tuple[Finding, ...]:
    said = said_of(instance)
    return (Finding(said),) if said else ()


def _logs(instance: TaskInstance) -> Iterator[Finding]:
    for log in instance.metadata.get("logs", ())[-MOST_LOGS:]:
        yield Finding(f"it logged {log['level']}: {log['message']}")


def _in_order(config: TaskConfig, taken: Taken) -> list[Entry]:
    """Return what an instance waits for: names by the alphabet, then conditions as written."""
    return _sorted(open_entries(config, taken))


def _sorted(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (0, entry) if isinstance(entry, str) else (1, ""))


def _taken(instance: TaskInstance) -> str:
    times = {name: f"{name} ({count} times)" for name, count in instance.counts.items()}
    return _names(times.get(name, name) for name in instance.trigger_kwargs)


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
