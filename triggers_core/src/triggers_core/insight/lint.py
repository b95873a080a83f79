"""What a valid configuration may still get wrong (rule C9). Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from triggers_core.rules.config import Configuration, unclaimed_text
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

    Cascade cycles; tasks that can never start, because they wait for each other's end; tasks
    that are abandoned whenever they could run; triggers that look like a misspelt task; runners
    that are not installed; directives that nobody claims.

    Args:
        known_runners: names of runners; None not to look at which runner tasks need.
        default_runner: the one that tasks without ``using`` need; None not to look at these.
        unclaimed: (task name, directive) of those that nobody claims.
    """
    return [
        *_cycles(configuration),
        *_unreachable(configuration),
        *_always_abandoned(configuration),
        *_misspelt(configuration),
        *_unknown_runners(configuration, known_runners, default_runner),
        *(unclaimed_text(*each) for each in unclaimed),
    ]


def _cycles(configuration: Configuration) -> Iterator[str]:
    followers = {
        name: [task.name for task in configuration.tasks_with(name) if name in task.awaited]
        for name in configuration
    }
    seen: set[str] = set()
    for start in followers:
        path = None if start in seen else _path_back(start, followers)
        if path:
            seen.update(path)
            yield f"cascade cycle: {' → '.join((*path, start))}; it goes on as long as they finish"


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


def _unreachable(configuration: Configuration) -> Iterator[str]:
    startable: set[str] = set()
    while new := {
        task.name
        for task in configuration.values()
        if task.name not in startable
        and all(name in startable or name not in configuration for name in task.awaited)
    }:
        startable |= new
    for name in configuration:
        if name not in startable:
            waits = sorted((configuration[name].awaited & configuration.keys()) - startable)
            yield (
                f"task {name!r} can never start: it waits for the end of {', '.join(waits)}, "
                "which can never start either; only firing one of these by hand would start it"
            )


def _always_abandoned(configuration: Configuration) -> Iterator[str]:
    for task in configuration.values():
        if task.unless and task.awaited >= set(task.unless):
            yield (
                f"task {task.name!r} can never run: once its triggers have fired, so have all of "
                f"its 'unless' ({', '.join(task.unless)}), and it is abandoned"
            )


def _misspelt(configuration: Configuration) -> Iterator[str]:
    for task in configuration.values():
        for name in sorted(task.triggers - configuration.keys()):
            alike = next((known for known in configuration if _are_alike(name, known)), None)
            if alike:
                yield f"task {task.name!r}: did you mean the task {alike!r} by {name!r}?"


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
