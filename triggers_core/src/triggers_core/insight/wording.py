"""What a task waits for, in words and in the few letters that a picture has room for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from triggers_core.rules.conditions import (
    Each,
    Entry,
    Group,
    Number,
    Taken,
    held,
    holds,
    times_of,
)
from triggers_core.rules.config import TaskConfig
from triggers_core.rules.instance import TaskInstance


@dataclass(frozen=True)
class Waits:
    """What is missing to an instance: to run, and to be abandoned; a few words for each."""

    awaited: tuple[str, ...]
    unless: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as a line: ``documents, (one of card, transfer); unless withdrawn``."""
        awaited, unless = _in_line(self.awaited), _in_line(self.unless)
        return "; ".join(filter(None, (awaited, unless and f"unless {unless}")))


def waits_of(instance: TaskInstance, config: TaskConfig) -> Waits:
    """Return what an instance waits for, by the configuration that it lives by."""
    if not instance.waits_for:
        return Waits((), ())
    if config.is_plain:
        return Waits(
            awaited=tuple(sorted(instance.waits_for & config.awaited)),
            unless=tuple(sorted(instance.waits_for - config.awaited)),
        )
    taken = taken_by(instance)
    return Waits(
        awaited=tuple(missing(entry, taken) for entry in open_entries(config, taken)),
        unless=tuple(missing(entry, taken) for entry in config.unless if not holds(entry, taken)),
    )


def taken_by(instance: TaskInstance) -> Taken:
    """Return what the instance has taken."""
    return Taken(instance.trigger_kwargs, instance.counts)


def open_entries(config: TaskConfig, taken: Taken) -> list[Entry]:
    """Return the entries that do not hold yet, of those that all must before the task runs."""
    every = () if config.and_every in {None, *config.after} else (config.and_every,)
    return [entry for entry in (*config.after, *every) if entry and not holds(entry, taken)]


def missing(entry: Entry, taken: Taken) -> str:
    """Return what is missing to an entry that does not hold: "one of card, transfer", "2 of 3 of
    a, b, c", "7 of 12 assess (12 by photos_listed)"."""
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Each):
        return _missing_times(entry, taken)
    if entry.word == "all":
        return " and ".join(_within(each, taken) for each in entry.of if not holds(each, taken))
    of = ", ".join(_said_within(each) for each in entry.of)
    return (
        f"one of {of}" if entry.word == "any" else f"{held(entry, taken)} of {entry.needed} of {of}"
    )


def said(entry: Entry) -> str:
    """Return the whole entry, whatever of it holds."""
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Each):
        if isinstance(entry.times, Number):
            return f"as many {entry.trigger} as {entry.times.trigger} says by {entry.times.key!r}"
        return f"{entry.times} {entry.trigger}"
    if entry.word == "all":
        return " and ".join(map(_said_within, entry.of))
    of = ", ".join(map(_said_within, entry.of))
    return f"one of {of}" if entry.word == "any" else f"{entry.needed} of {of}"


def said_in_order(entries: Iterable[Entry]) -> str:
    """Return all of the entries, as written: "a, one of b, c"."""
    return ", ".join(map(said, entries))


def joint_label(entry: Group | Each) -> str:
    """Return what stands in the joint that an entry is in a picture: "any", "2 of 3", "12 ×"."""
    if isinstance(entry, Each):
        times = entry.times
        return f"{times.key} ×" if isinstance(times, Number) else f"{times} ×"
    return f"{entry.needed} of {len(entry.of)}" if entry.word == "atLeast" else entry.word


def _missing_times(each: Each, taken: Taken) -> str:
    count, needed = taken.counts.get(each.trigger, 0), times_of(each, taken)
    if not isinstance(each.times, Number):
        return f"{count} of {needed} {each.trigger}"
    source = each.times.trigger
    if needed is None:
        return f"{count} {each.trigger} ({source} has not said how many yet)"
    return f"{count} of {needed} {each.trigger} ({needed} by {source})"


def _in_line(phrases: tuple[str, ...]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(f"({phrase})" if ", " in phrase else phrase for phrase in phrases)


def _within(entry: Entry, taken: Taken) -> str:
    return missing(entry, taken) if isinstance(entry, str) else f"({missing(entry, taken)})"


def _said_within(entry: Entry) -> str:
    return said(entry) if isinstance(entry, str) else f"({said(entry)})"
