"""What a task waits for (rules C1, C4, C10 to C12): names, and conditions over them. Pure.

One truth holds for all of it: an instance takes every trigger that its task names while it is
unstarted; after each it is abandoned if ``unless`` holds, else ready if ``after`` (and
``andEvery``) holds. A condition is another way to hold, and no second mechanism.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from triggers_core.errors import InvalidKwargs
from triggers_core.rules.names import shown


@dataclass(frozen=True)
class Group:
    """Holds when so many of its entries hold (C10): what ``any``, ``all`` and ``atLeast`` say.

    Attributes:
        word: how it is written.
        needed: how many must hold. There may be fewer: then it never does.
        of: the entries, in the order written.
    """

    word: Literal["any", "all", "atLeast"]
    needed: int
    of: tuple[Entry, ...]


@dataclass(frozen=True)
class Number:
    """A number that a trigger brings: ``{"from": trigger, "key": key}`` (C12).

    Attributes:
        trigger: the task takes it like any other that it names.
        key: of the kwargs that are fired with it. The value is an int of 0 or more.
    """

    trigger: str
    key: str


@dataclass(frozen=True)
class Each:
    """Holds when the trigger has fired so often for the instance (C11): what ``each`` says.

    Attributes:
        trigger: it is *counted*: taken again each time, in order.
        times: how often, or which trigger says so.
    """

    trigger: str
    times: int | Number


Entry = str | Group | Each
"""What ``after`` and ``unless`` list: a trigger's name, which holds once it is taken, or a
condition."""


class Taken(NamedTuple):
    """What an instance has taken.

    Attributes:
        kwargs: trigger name → its kwargs; the latest, if it is counted.
        counts: counted trigger → how often.
    """

    kwargs: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, int]


def all_hold(entries: Iterable[Entry], taken: Taken) -> bool:
    """Return whether each of the entries holds."""
    return all(holds(entry, taken) for entry in entries)


def holds(entry: Entry, taken: Taken) -> bool:
    """Return whether the entry holds for an instance that has taken these."""
    if isinstance(entry, str):
        return entry in taken.kwargs
    if isinstance(entry, Group):
        return held(entry, taken) >= entry.needed
    needed = times_of(entry, taken)
    return needed is not None and taken.counts.get(entry.trigger, 0) >= needed


def held(group: Group, taken: Taken) -> int:
    """Return how many of the group's entries hold."""
    return sum(holds(entry, taken) for entry in group.of)


def times_of(each: Each, taken: Taken) -> int | None:
    """Return how often the trigger must have fired; None while nothing says so."""
    if isinstance(each.times, int):
        return each.times
    said = taken.kwargs.get(each.times.trigger, {}).get(each.times.key)
    return said if is_times(said) else None


def is_times(value: Any) -> bool:
    """Return whether the value can say how often: an int of 0 or more, and no bool."""
    return type(value) is int and value >= 0


def check_number(number: Number, kwargs: Mapping[str, Any], task_name: str) -> None:
    """Raise InvalidKwargs unless the kwargs of the number's trigger bring one (C12)."""
    said = kwargs.get(number.key)
    if not is_times(said):
        found = f"not {shown(said)}" if number.key in kwargs else "and it is missing"
        raise InvalidKwargs(
            f"trigger {number.trigger!r}: by its {number.key!r} the task {task_name!r} counts: "
            f"expected an int of 0 or more, {found}; nothing was changed"
        )


def parts(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield each entry, and each within it, outermost first."""
    for entry in entries:
        yield entry
        if isinstance(entry, Group):
            yield from parts(entry.of)


def names(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield every trigger that the entries name, as often as they do."""
    for entry in parts(entries):
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, Each):
            yield entry.trigger
            if isinstance(entry.times, Number):
                yield entry.times.trigger


def eaches(entries: Iterable[Entry]) -> Iterator[Each]:
    """Yield each count among the entries."""
    return (entry for entry in parts(entries) if isinstance(entry, Each))


def certain(entry: Entry) -> frozenset[str]:
    """Return the triggers without which the entry cannot hold."""
    if isinstance(entry, str):
        return frozenset({entry})
    if isinstance(entry, Each):
        if isinstance(entry.times, Number):
            return frozenset({entry.times.trigger})
        return frozenset({entry.trigger} if entry.times else ())
    within = [certain(each) for each in entry.of]
    spare = len(within) - entry.needed
    return frozenset(
        name for name in frozenset().union(*within) if sum(name in each for each in within) > spare
    )


def can_hold(entry: Entry, may_fire: Callable[[str], bool]) -> bool:
    """Return whether the entry may hold where only some triggers may ever fire."""
    if isinstance(entry, str):
        return may_fire(entry)
    if isinstance(entry, Group):
        return sum(can_hold(each, may_fire) for each in entry.of) >= entry.needed
    if isinstance(entry.times, Number):
        return may_fire(entry.times.trigger)  # which may say 0
    return not entry.times or may_fire(entry.trigger)
