"""How the entries of ``after`` and ``unless`` are written, read and found wrong (C1, C10 to C12).

An error names the task, the directive, the path to the entry, and what was expected there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from triggers_core.errors import ConfigurationError, InvalidName
from triggers_core.rules.conditions import Each, Entry, Group, Number, is_times
from triggers_core.rules.names import check_name, did_you_mean, shown

MAX_NESTING = 16
"""Levels of conditions within conditions: more is taken for one that contains itself."""

FORMS = (
    "{'any': […]}, {'all': […]}, {'atLeast': n, 'of': […]} or {'each': 'trigger', 'times': n}, "
    "where n may be {'from': 'trigger', 'key': 'key'} after 'times'"
)


def read_entries(task_name: str, directive: str, value: Any) -> tuple[Entry, ...]:
    """Return the entries of a directive, checked; none for None.

    Raises:
        ConfigurationError: the first that is wrong.
    """
    if value is None:
        return ()
    return _list(_Place(f"task {task_name!r}, directive {directive!r}", ""), value)


def written(entry: Entry) -> Any:
    """Return the entry as it is written, in JSON: the inverse of :func:`read_entries`."""
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Group):
        of = [written(each) for each in entry.of]
        return {"atLeast": entry.needed, "of": of} if entry.word == "atLeast" else {entry.word: of}
    times = entry.times
    if isinstance(times, Number):
        return {"each": entry.trigger, "times": {"from": times.trigger, "key": times.key}}
    return {"each": entry.trigger, "times": times}


class _Place(NamedTuple):
    """Where in a configuration: a directive, and the path from it."""

    directive: str
    path: str
    level: int = 0

    def to(self, step: str) -> _Place:
        return self._replace(path=self.path + step)

    def error(self, text: str) -> ConfigurationError:
        where = f"{self.directive}, at {self.path}" if self.path else self.directive
        return ConfigurationError(f"{where}: {text}")


def _list(place: _Place, value: Any) -> tuple[Entry, ...]:
    if isinstance(value, str):
        raise place.error(
            f"expected a list of trigger names, not the bare string {shown(value)}; "
            f"write [{shown(value)}]"
        )
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise place.error(f"expected a list of trigger names, not {shown(value)}")
    entries = tuple(_entry(place.to(step), item) for step, item in _steps(value))
    seen: set[Entry] = set()
    for entry in entries:
        if entry in seen:
            raise place.error(f"{shown(written(entry))} is listed twice")
        seen.add(entry)
    return entries


def _steps(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each item after the step that leads to it."""
    if isinstance(value, (set, frozenset)):  # has no order, and a configuration's digest has one
        value = sorted(value, key=lambda item: (str(type(item)), str(item)))
    for index, item in enumerate(value):
        yield f"[{index}]", item


def _entry(place: _Place, value: Any) -> Entry:
    if isinstance(value, str):
        return _name(place, value)
    if not isinstance(value, Mapping):
        raise place.error(
            f"trigger name: expected a str, not {type(value).__name__}: {shown(value)}; "
            f"or for a condition {FORMS}"
        )
    if place.level == MAX_NESTING:
        raise place.error(f"is nested over {MAX_NESTING} levels, or contains itself")
    read = _READERS.get(frozenset(value))
    if read is None:
        raise place.error(f"expected {FORMS}; not {shown(dict(value))}{_meant(value)}")
    return read(place._replace(level=place.level + 1), value)


def _any(place: _Place, value: Mapping[str, Any]) -> Entry:
    return Group("any", 1, _among(place.to(".any"), value["any"]))


def _all(place: _Place, value: Mapping[str, Any]) -> Entry:
    of = _among(place.to(".all"), value["all"])
    return Group("all", len(of), of)


def _at_least(place: _Place, value: Mapping[str, Any]) -> Entry:
    needed = value["atLeast"]
    if not is_times(needed) or needed == 0:
        raise place.to(".atLeast").error(f"expected an int of 1 or more, not {shown(needed)}")
    return Group("atLeast", needed, _among(place.to(".of"), value["of"]))


def _each(place: _Place, value: Mapping[str, Any]) -> Entry:
    trigger = _name(place.to(".each"), value["each"])
    times, at = value["times"], place.to(".times")
    if is_times(times):
        return Each(trigger, times)
    if not isinstance(times, Mapping) or times.keys() != {"from", "key"}:
        raise at.error(
            "expected an int of 0 or more, or {'from': 'trigger', 'key': 'key'}; "
            f"not {shown(times)}"
        )
    key = times["key"]
    if not isinstance(key, str):
        raise at.to(".key").error(f"expected the name of a kwarg as a str, not {shown(key)}")
    return Each(trigger, Number(_name(at.to(".from"), times["from"]), key))


_READERS: Mapping[frozenset[str], Callable[[_Place, Mapping[str, Any]], Entry]] = {
    frozenset({"any"}): _any,
    frozenset({"all"}): _all,
    frozenset({"atLeast", "of"}): _at_least,
    frozenset({"each", "times"}): _each,
}
_WORDS = ("any", "all", "atLeast", "of", "each", "times")


def _among(place: _Place, value: Any) -> tuple[Entry, ...]:
    entries = _list(place, value)
    if not entries:
        raise place.error("expected at least one entry, not an empty list")
    return entries


def _name(place: _Place, value: Any) -> str:
    try:
        return check_name(value, "trigger")
    except InvalidName as error:
        raise place.error(str(error)) from None


def _meant(value: Mapping[Any, Any]) -> str:
    """Return the question for the word that was probably meant; "" where none is alike."""
    for word in value:
        if isinstance(word, str) and word not in _WORDS:
            alike = did_you_mean(word, _WORDS)
            return f"; {alike}" if alike else ""
    return ""
