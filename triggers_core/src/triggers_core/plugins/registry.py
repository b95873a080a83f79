"""Classes found by name: given to a registry in code, or loaded from entry points when asked for.

Runners, managers and storages are all found this way. Whatever is registered wrongly is a clear
error for whoever asks for that name, and a line in :meth:`Registry.listing` for everybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from triggers_core.errors import NotRegistered, PluginError
from triggers_core.plugins.entry_points import Offer, installed

Class = TypeVar("Class")


@dataclass(frozen=True)
class Registration:
    """One line of a listing.

    Attributes:
        name: what it is asked for by.
        distribution: the installed distribution that offers it, or None for one given in code.
        version: that distribution's version, or None.
        problem: why it cannot be used, or None when it can.
    """

    name: str
    distribution: str | None
    version: str | None
    problem: str | None


class Registry(Generic[Class]):
    """Name → class, for one kind of thing.

    Args:
        kind: what the things are called in messages ("task runner").
        group: the entry-point group.
        check: raises TypeError, saying what was expected, for anything but such a class.
        not_found: the error for a name that nobody offers.
        load_entry_points: False to know only what is given in code.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        check: Callable[[object], type[Class]],
        not_found: type[NotRegistered],
        *,
        load_entry_points: bool,
    ) -> None:
        self._kind = kind
        self._group = group
        self._check = check
        self._not_found = not_found
        self._load_entry_points = load_entry_points
        self._given: dict[str, type[Class]] = {}
        self._given_by: dict[str, str] = {}
        self._loaded: dict[str, type[Class]] = {}

    def add(self, offered: type[Class], offered_by: str = "the application") -> str:
        """Register a class under its own name, before any entry point's; return the name.

        Raises:
            PluginError: it is no such class, has no usable name, or another class given in
                code has the name.
        """
        name = self._checked_name(offered, offered_by)
        if self._given.get(name, offered) is not offered:
            raise PluginError(
                f"{offered_by} offers {offered!r} as {self._kind} {name!r}, but "
                f"{self._given[name]!r} has that name; rename one"
            )
        self._given[name] = offered
        self._given_by[name] = offered_by
        return name

    def remove(self, name: str) -> None:
        """Forget a class given in code."""
        self._given.pop(name, None)
        self._given_by.pop(name, None)

    def source(self, name: str) -> str:
        """Return who offers the name, as a message says it. Raises KeyError if nobody does."""
        if name in self._given:
            return self._given_by[name]
        return f"the distribution {self._entry_points[name][0].distribution}"

    def names(self) -> list[str]:
        """Return every name offered, working or not, sorted. Imports nothing."""
        return sorted({*self._given, *self._entry_points})

    def load(self, name: str, advice: str = "") -> type[Class]:
        """Return the class of that name.

        Args:
            advice: ends the message when nobody offers the name.

        Raises:
            NotRegistered: nobody offers the name (the subclass for this kind).
            PluginError: it is offered, but wrongly; the message names the distribution.
        """
        if name in self._given:
            return self._given[name]
        if name not in self._loaded:
            self._loaded[name] = self._load_entry_point(name, advice)
        return self._loaded[name]

    def listing(self) -> list[Registration]:
        """Return a line for each offer, sorted by name; it imports each, and raises nothing."""
        lines = [Registration(name, None, None, None) for name in self._given]
        for name, offers in self._entry_points.items():
            if name in self._given:
                continue
            problem = None
            try:
                self.load(name)
            except PluginError as error:
                problem = str(error)
            for offer in offers:
                lines.append(Registration(name, offer.distribution, offer.version, problem))
        return sorted(lines, key=lambda line: line.name)

    @cached_property
    def _entry_points(self) -> dict[str, list[Offer]]:
        found: dict[str, list[Offer]] = {}
        if self._load_entry_points:
            for offer in installed(self._group):
                found.setdefault(offer.name, []).append(offer)
        return found

    def _load_entry_point(self, name: str, advice: str) -> type[Class]:
        offers = self._entry_points.get(name, [])
        if not offers:
            known = ", ".join(self.names()) or "none"
            raise self._not_found(
                f"no {self._kind} {name!r} is registered (registered: {known}){advice}"
            )
        distributions = sorted(offer.distribution for offer in offers)
        if len(distributions) > 1:
            raise PluginError(
                f"the {self._kind} name {name!r} is claimed by the distributions "
                f"{' and '.join(distributions)}; uninstall all but one"
            )
        source = self.source(name)
        try:
            offered = offers[0].load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self._kind} {name!r}: the entry point {offers[0].value!r} of "
                f"{source} fails to import: {type(error).__name__}: {error}"
            ) from error
        found = self._checked_name(offered, source)
        if found != name:
            raise PluginError(
                f"{source} registers {offers[0].value!r} as {self._kind} {name!r}, but "
                f"its name is {found!r}; make the two equal"
            )
        checked: type[Class] = offered
        return checked

    def _checked_name(self, offered: object, source: str) -> str:
        try:
            checked = self._check(offered)
        except TypeError as error:
            raise PluginError(f"{source} offers {offered!r} as {self._kind}: {error}") from error
        name = getattr(checked, "name", None)
        if not isinstance(name, str) or not name:
            raise PluginError(
                f"{source} offers the {self._kind} {offered!r}, whose 'name' is {name!r}; "
                "give the class a non-empty str"
            )
        return name
