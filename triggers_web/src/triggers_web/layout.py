"""Where the nodes and arrows of a picture go: in layers, from left to right. Pure.

The steps are those of Sugiyama: turn the arrows that close a cycle, give every node a layer
behind its sources, split an arrow that passes layers at a joint in each, order each layer by its
neighbours, then move every node towards the height of its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

MOST_POINTS = 4_000
"""Nodes and joints that are laid out; a picture of more is of no use to anybody."""
MARGIN = 16.0
"""Pixels; so are all lengths here."""
ROW_GAP = 18.0
LAYER_GAP = 64.0
JOINT_HEIGHT = 8.0
LOOP = 14.0
"""How far an arrow from a node to itself goes above it."""
ROUNDS = 6
"""Sweeps there and back; more change next to nothing."""


class Size(NamedTuple):
    """How much room a node needs."""

    width: float
    height: float


class Box(NamedTuple):
    """Where a node is."""

    x: float
    y: float
    width: float
    height: float


class Point(NamedTuple):
    """Where an arrow passes."""

    x: float
    y: float


@dataclass(frozen=True)
class Layout:
    """A picture's size, name → box, and for each arrow, in the order given, the points of its
    way."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    ways: Sequence[tuple[Point, ...]]


class TooLarge(ValueError):
    """More than :data:`MOST_POINTS` would have to be laid out."""


class _Joint(NamedTuple):
    """Where an arrow passes a layer."""

    arrow: int
    layer: int


_Arrow = tuple[str, str]
_Place = str | _Joint


def lay_out(sizes: Mapping[str, Size], arrows: Sequence[_Arrow]) -> Layout:
    """Return the layout of nodes with these sizes, and arrows (source, target) between them.

    The same nodes and arrows, in the same order, always come out the same.

    Raises:
        TooLarge: there are too many to draw.
    """
    forward = _acyclic(sizes, arrows)
    layer_of = _layers(sizes, forward)
    passed = [range(layer_of[source] + 1, layer_of[target]) for source, target in forward]
    if len(sizes) + sum(map(len, passed)) > MOST_POINTS:
        raise TooLarge(f"over {MOST_POINTS} nodes and joints of arrows")
    joints = [[_Joint(index, layer) for layer in layers] for index, layers in enumerate(passed)]
    rows: list[list[_Place]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for name in sizes:
        rows[layer_of[name]].append(name)
    for joint in chain.from_iterable(joints):
        rows[joint.layer].append(joint)
    before, after = _neighbours(forward, joints)
    _order(rows, before, after)
    heights: dict[_Place, float] = {place: JOINT_HEIGHT for row in rows for place in row}
    heights.update((name, size.height) for name, size in sizes.items())
    middles = _middles(rows, before, after, heights)
    boxes, columns, size = _placed(sizes, rows, middles)
    ways = []
    for (source, target), turned, own in zip(arrows, forward, joints, strict=True):
        passages = [point for joint in own for point in _passage(columns, joint, middles[joint])]
        way = _way(boxes[turned[0]], boxes[turned[1]], passages)
        ways.append(way if turned == (source, target) else way[::-1])
    return Layout(size.width, size.height, boxes, ways)


def _acyclic(names: Iterable[str], arrows: Sequence[_Arrow]) -> list[_Arrow]:
    """Return the arrows, turned round where they would close a cycle; loops are kept."""
    leaving: dict[str, list[int]] = {name: [] for name in names}
    for index, (source, _) in enumerate(arrows):
        leaving[source].append(index)
    turned: set[int] = set()
    entered: set[str] = set()
    left: set[str] = set()
    for start in leaving:
        path = [start]  # each behind the one that it is reached from
        while path:
            name = path[-1]
            entered.add(name)
            if not leaving[name]:
                left.add(path.pop())
                continue
            index = leaving[name].pop()
            target = arrows[index][1]
            if target not in entered:
                path.append(target)
            elif target not in left:
                turned.add(index)
    return [
        (target, source) if index in turned else (source, target)
        for index, (source, target) in enumerate(arrows)
    ]


def _layers(names: Iterable[str], arrows: Sequence[_Arrow]) -> dict[str, int]:
    """Return name → layer: behind all sources; what has none, just before its first target."""
    targets: dict[str, list[str]] = {name: [] for name in names}
    missing = dict.fromkeys(targets, 0)
    for source, target in arrows:
        if source != target:
            targets[source].append(target)
            missing[target] += 1
    sources = [name for name, count in missing.items() if not count]
    layers = dict.fromkeys(targets, 0)
    ready = list(sources)
    for name in ready:
        for target in targets[name]:
            layers[target] = max(layers[target], layers[name] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    for name in sources:
        if targets[name]:
            layers[name] = min(layers[target] for target in targets[name]) - 1
    return layers


_Neighbours = dict[_Place, list[_Place]]


def _neighbours(
    arrows: Sequence[_Arrow], joints: Sequence[Sequence[_Joint]]
) -> tuple[_Neighbours, _Neighbours]:
    before: _Neighbours = {}
    after: _Neighbours = {}
    for (source, target), own in zip(arrows, joints, strict=True):
        if source != target:
            places: list[_Place] = [source, *own, target]
            for left, right in pairwise(places):
                before.setdefault(right, []).append(left)
                after.setdefault(left, []).append(right)
    return before, after


def _order(rows: Sequence[list[_Place]], before: _Neighbours, after: _Neighbours) -> None:
    """Sort each layer by where its neighbours stand, so that fewer arrows cross."""
    for _ in range(ROUNDS):
        for neighbours, sweep in ((before, rows), (after, rows[::-1])):
            ranks: dict[_Place, float] = {}
            for row in sweep:
                own = {place: float(rank) for rank, place in enumerate(row)}
                wished = {
                    place: _mean(ranks, neighbours.get(place), rank) for place, rank in own.items()
                }
                row.sort(key=wished.__getitem__)
                ranks = {place: float(rank) for rank, place in enumerate(row)}


def _mean(values: Mapping[_Place, float], places: Sequence[_Place] | None, default: float) -> float:
    return sum(values[place] for place in places) / len(places) if places else default


def _middles(
    rows: Sequence[Sequence[_Place]],
    before: _Neighbours,
    after: _Neighbours,
    heights: Mapping[_Place, float],
) -> dict[_Place, float]:
    """Return place → height of its middle: close to its neighbours', and clear of its row's."""
    middles: dict[_Place, float] = {}
    for row in rows:
        middles.update(_spread(row, dict.fromkeys(row, 0.0), heights))
    for _ in range(ROUNDS):
        for neighbours, sweep in ((before, rows), (after, rows[::-1])):
            for row in sweep:
                wished = {
                    place: _mean(middles, neighbours.get(place), middles[place]) for place in row
                }
                middles.update(_spread(row, wished, heights))
    return middles


def _spread(
    row: Sequence[_Place], wished: Mapping[_Place, float], heights: Mapping[_Place, float]
) -> dict[_Place, float]:
    """Return the middles nearest to those wished for, in the row's order and without overlap.

    Places that press against each other move as one block, to the mean of what they wish for.
    """
    blocks: list[tuple[float, list[_Place]]] = []  # (where its first middle goes, its places)
    offsets: dict[_Place, float] = {}
    for place in row:
        offsets[place] = 0.0
        block = [place]
        start = wished[place]
        while blocks:
            above_start, above = blocks[-1]
            gap = offsets[above[-1]] + (heights[above[-1]] + heights[block[0]]) / 2 + ROW_GAP
            if above_start + gap <= start:
                break
            blocks.pop()
            for moved in block:
                offsets[moved] += gap
            block = above + block
            start = sum(wished[each] - offsets[each] for each in block) / len(block)
        blocks.append((start, block))
    return {place: start + offsets[place] for start, block in blocks for place in block}


def _placed(
    sizes: Mapping[str, Size], rows: Sequence[Sequence[_Place]], middles: dict[_Place, float]
) -> tuple[dict[str, Box], list[tuple[float, float]], Size]:
    """Return the boxes, each layer's (left, right) and the whole size; move ``middles`` so that
    nothing is above the margin."""
    tops = [middles[name] - size.height / 2 for name, size in sizes.items()]
    shift = MARGIN + LOOP - min([*tops, *middles.values()], default=0.0)
    for place in middles:
        middles[place] += shift
    boxes: dict[str, Box] = {}
    columns: list[tuple[float, float]] = []
    left = MARGIN
    for row in rows:
        names = [place for place in row if isinstance(place, str)]
        width = max((sizes[name].width for name in names), default=0.0)
        for name in names:
            size = sizes[name]
            x = left + (width - size.width) / 2
            boxes[name] = Box(x, middles[name] - size.height / 2, size.width, size.height)
        columns.append((left, left + width))
        left += width + LAYER_GAP
    bottoms = [box.y + box.height for box in boxes.values()]
    bottom = max([*bottoms, *middles.values()], default=0.0)
    return boxes, columns, Size(left - LAYER_GAP + MARGIN, bottom + MARGIN)


def _passage(
    columns: Sequence[tuple[float, float]], joint: _Joint, middle: float
) -> tuple[Point, Point]:
    left, right = columns[joint.layer]
    return Point(left, middle), Point(right, middle)


def _way(source: Box, target: Box, passages: Sequence[Point]) -> tuple[Point, ...]:
    if source == target:
        right, left = source.x + source.width * 0.65, source.x + source.width * 0.35
        above = source.y - LOOP
        return (
            Point(right, source.y), Point(right, above), Point(left, above), Point(left, source.y)
        )  # fmt: skip
    start = Point(source.x + source.width, source.y + source.height / 2)
    end = Point(target.x, target.y + target.height / 2)
    return (start, *passages, end)
