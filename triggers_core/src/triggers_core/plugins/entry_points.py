"""What installed distributions offer as entry points.

Read by the distribution ``importlib-metadata``, and so alike on every Python.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib_metadata import Distribution


@dataclass(frozen=True)
class Offer:
    """One entry point.

    Attributes:
        name: what it is asked for by.
        value: where it leads, as ``module:attribute``.
        distribution: the distribution that it is of, as its metadata spell it; where they are
            lost, the folder that it is installed in.
        version: that distribution's version; None where its metadata are lost.
        load: imports what it leads to, and returns it; raises whatever the import does.
    """

    name: str
    value: str
    distribution: str
    version: str | None
    load: Callable[[], Any]


def installed(group: str) -> list[Offer]:
    """Return the group's entry points.

    A distribution that is found twice counts once, as where imports find it first: so may be found
    what is installed as editable, or what an upgrade has left behind, under two spellings of one
    name.
    """
    from importlib_metadata import entry_points  # noqa: PLC0415 - slow, and used on demand

    found: dict[tuple[str, str], Offer] = {}
    for each in entry_points(group=group):
        assert each.dist is not None  # as with all that are found installed
        offer = Offer(each.name, each.value, *_told_by(each.dist), each.load)
        found.setdefault((_normalised(offer.distribution), offer.name), offer)
    return list(found.values())


def _told_by(distribution: Distribution) -> tuple[str, str | None]:
    """Return the distribution's name and version."""
    # Where they are lost, importlib-metadata raises one thing or another, or returns None.
    with suppress(Exception):
        if distribution.name:
            return distribution.name, distribution.version
    folder = os.path.abspath(str(distribution.locate_file("")))
    return f"(without metadata) in {folder}", None


def _normalised(name: str) -> str:
    """Return the one of a distribution name's spellings that stands for all (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
