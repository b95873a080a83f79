"""What a valid configuration may still get wrong (rule C9). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import pairwise

from triggers_core.insight.wording import said, said_in_order
from triggers_core.rules import conditions
from triggers_core.rules.conditions import Each, Group
from triggers_core.rules.config import Configuration, TaskConfig, unclaimed_text
from triggers_core.rules.names import runner_advice

_SAME_BUT_A_LETTER = 0.9
_WITHOUT_DIGITS = dict.fromkeys(map(ord, "0123456789"))


def lint(
    configuration: Configuration,
    *,
    known_runners: Collection[str] | None = None,
    default_runner: str | None = None,
    unclaimed: Iterable[tuple[str, str]] = (),
) -> list[str]:
    """Return a warning for whatever is legal but looks like a mistake.

    Cascade cycles; conditions that can never hold; tasks that can never start, because they wait
    for each other's end; tasks that are abandoned whenever they could run; triggers that look
    like a misspelt one; runners that are not installed; directives that nobody claims.

    Args:
        known_runners: names of runners; None not to look at which runner tasks need.
        default_runner: the one that tasks without ``using`` need; None not to look at these.
        unclaimed: (task name, directive) of those that nobody claims.
    """
    return [
        *_cycles(configuration),
        *_never_held(configuration),
        *_ending_once(configuration),
        *_unreachable(configuration),
        *_always_abandoned(configuration),
        *_misspelt(configuration),
        *_unknown_runners(configuration, known_runners, default_runner),
        *(unclaimed_text(*each) for each in unclaimed),
    ]


def _cycles(configuration: Configuration) -> Iterator[str]:
    followers = {name: _followers(configuration, name) for name in configuration}
    seen: set[str] = set()
    for start in followers:
        path = None if start in seen else _path_back(start, followers)
        if path:
            seen.update(path)
            cycle = (*path, start)
            ends = (
                "finish" if _is_of_ends(cycle, configuration) else "finish, or fail, as that asks"
            )
            yield f"cascade cycle: {' → '.join(cycle)}; it goes on as long as they {ends}"


def _is_of_ends(cycle: tuple[str, ...], configuration: Configuration) -> bool:
    """Return whether each task awaits the end of the one before, and none its failure."""
    steps = pairwise(cycle)
    return all(before in configuration[after].awaited for before, after in steps)


def _followers(configuration: Configuration, name: str) -> list[str]:
    """Return the tasks that await the task's end, or its failure."""
    ends = filter(None, (name, configuration[name].on_failure))
    return [
        task.name for end in ends for task in configuration.tasks_with(end) if end in task.awaited
    ]


def _path_back(start: str, followers: Mapping[str, list[str]]) -> tuple[str, ...] | None:
    """Return the shortest path of tasks from ``start`` back to it, or None."""
    paths: list[tuple[str, ...]] = [(start,)]
    reached: set[str] = set()
    for path in paths:
        for follower in followers[path[-1]]:
            if follower == start:
                return path
            if follower not in reached:
                reached.add(follower)
                paths.append((*path, follower))
    return None


def _never_held(configuration: Configuration) -> Iterator[str]:
    for task in configuration.values():
        for entry in conditions.parts((*task.after, *task.unless)):
            if isinstance(entry, Group) and entry.needed > len(entry.of):
                yield (
                    f"task {task.name!r}: {said(entry)} can never hold: 'atLeast' asks for "
                    f"{entry.needed} of {len(entry.of)}"
                )


def _ending_once(configuration: Configuration) -> Iterator[str]:
    """Yield the counts of a task's end that comes but once."""
    for task in configuration.values():
        for each in conditions.eaches((*task.after, *task.unless)):
            counted = configuration.get(each.trigger)
            if counted is None or counted.and_every is not None or each.times in {0, 1}:
                continue
            yield (
                f"task {task.name!r} counts the ends of {counted.name!r}, which has no 'andEvery' "
                "and so ends once; name in its 'andEvery' what it is to run for each time"
            )


def _unreachable(configuration: Configuration) -> Iterator[str]:
    startable: set[str] = set()

    def may_fire(name: str) -> bool:
        by_failure = configuration.failing.get(name, ())
        is_fired = name in startable or not startable.isdisjoint(by_failure)
        return is_fired or name not in configuration

    while new := {
        task.name
        for task in configuration.values()
        if task.name not in startable and task.may_start(may_fire)
    }:
        startable |= new
    for name, task in configuration.items():
        waits = sorted((task.awaited & configuration.keys()) - startable)
        if name not in startable and waits:
            yield (
                f"task {name!r} can never start: it waits for the end of {', '.join(waits)}, "
                "which can never start either; only firing one of these by hand would start it"
            )


def _always_abandoned(configuration: Configuration) -> Iterator[str]:
    for task in configuration.values():
        if task.unless and conditions.all_hold(task.unless, _least_taken(task)):
            yield (
                f"task {task.name!r} can never run: once its triggers have fired, so have all of "
                f"its 'unless' ({said_in_order(task.unless)}), and it is abandoned"
            )


def _least_taken(task: TaskConfig) -> conditions.Taken:
    """Return what every instance has taken by the time when it is ready."""
    every = (task.and_every,) if task.and_every else ()
    names = {*every}.union(*map(conditions.certain, task.after))
    counts = {
        entry.trigger: entry.times
        for entry in task.after
        if isinstance(entry, Each) and isinstance(entry.times, int)
    }
    return conditions.Taken({name: {} for name in names}, counts)


def _misspelt(configuration: Configuration) -> Iterator[str]:
    for task in configuration.values():
        for name in sorted(task.triggers - configuration.keys() - configuration.failing.keys()):
            alike = next((known for known in configuration if _are_alike(name, known)), None)
            if alike:
                yield f"task {task.name!r}: did you mean the task {alike!r} by {name!r}?"
    yield from _misspelt_failures(configuration)
    yield from _misspelt_sources(configuration)


def _misspelt_failures(configuration: Configuration) -> Iterator[str]:
    """Yield the triggers of failures that no task awaits, while one awaits another like it."""
    awaited = {name for task in configuration.values() for name in task.triggers}
    for name, tasks in configuration.failing.items():
        for known in sorted(awaited - configuration.keys() - configuration.failing.keys()):
            if name not in awaited and _are_alike(name, known):
                yield (
                    f"task {tasks[0]!r}: no task awaits {name!r}, which its 'onFailure' fires; "
                    f"did you mean {known!r}?"
                )


def _misspelt_sources(configuration: Configuration) -> Iterator[str]:
    """Yield the triggers that are to say how often, stand nowhere else, and look like one that the
    task, or another, does wait for."""
    named = Counter(
        name
        for task in configuration.values()
        for name in (task.and_every, *conditions.names((*task.after, *task.unless)))
    )
    for task in configuration.values():
        for number in task.numbers:
            if named[number.trigger] > 1 or number.trigger in configuration:
                continue
            alike = next(
                (known for known in named if known and _are_alike(number.trigger, known)), None
            )
            if alike:
                yield (
                    f"task {task.name!r}: {number.trigger!r}, which is to say how often, is "
                    f"awaited nowhere else; did you mean the trigger {alike!r}?"
                )


def _are_alike(name: str, known: str) -> bool:
    """Return whether the names differ by a slip of the fingers; by a number, they are meant to."""
    if name.translate(_WITHOUT_DIGITS) == known.translate(_WITHOUT_DIGITS):
        return False
    return sorted(name) == sorted(known) or bool(
        get_close_matches(name, [known], cutoff=_SAME_BUT_A_LETTER)
    )


def _unknown_runners(
    configuration: Configuration,
    known_runners: Collection[str] | None,
    default_runner: str | None,
) -> Iterator[str]:
    for task in configuration.values():
        needed = task.using or default_runner
        if known_runners is None or needed is None or needed in known_runners:
            continue
        yield (
            f"task {task.name!r}: no task runner {needed!r}"
            f"{'' if task.using else ', the default,'} is installed here "
            f"(installed: {', '.join(sorted(known_runners)) or 'none'}); "
            f"{runner_advice(needed, known_runners)}"
        )
