"""A session's graph as a drawing: what stands where, in which words. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triggers_core.insight.graph import Edge, Graph, Node
from triggers_web.layout import Box, Point, Size, lay_out

NAME_WIDTH = 7.6
"""Pixels that a character of a name takes on average, at the style sheet's 13 pixels."""
STATES_WIDTH = 6.2
"""The same of the line below it, at 11 pixels."""
LONGEST_NAME = 28
"""Characters; of a longer name the middle is left out, and shown when it is pointed at."""
PADDING = 14.0
LEAST_WIDTH = 64.0
TASK_HEIGHT = 46.0
TRIGGER_HEIGHT = 30.0
JOINT_HEIGHT = 22.0
JOINT_PADDING = 9.0
BEND = 0.5
"""How far along its way an arrow has turned, from 0 for at once."""


@dataclass(frozen=True)
class DrawnNode:
    """A node, its box, and its name as far as it fits."""

    node: Node
    box: Box
    label: str


@dataclass(frozen=True)
class DrawnEdge:
    """An edge, its line as the ``d`` of an SVG path, and what it says when it is pointed at."""

    edge: Edge
    path: str
    title: str


@dataclass(frozen=True)
class Drawing:
    """All of it, with its size in pixels."""

    width: float
    height: float
    nodes: Sequence[DrawnNode]
    edges: Sequence[DrawnEdge]

    @property
    def has_joints(self) -> bool:
        """Whether there are conditions among it."""
        return any(drawn.node.joint for drawn in self.nodes)

    @property
    def has_failures(self) -> bool:
        """Whether there are triggers among it that failures fire."""
        return any(drawn.edge.kind == "onFailure" for drawn in self.edges)


def draw(graph: Graph) -> Drawing:
    """Return the graph as a drawing. Raises TooLarge where there is too much of it."""
    labels = {node.name: _short(node.joint or node.name) for node in graph.nodes}
    sizes = {node.name: _size(node, labels[node.name]) for node in graph.nodes}
    layout = lay_out(sizes, [(edge.source, edge.task) for edge in graph.edges])
    joints = {node.name: node.joint for node in graph.nodes if node.joint}
    return Drawing(
        layout.width,
        layout.height,
        [DrawnNode(node, layout.boxes[node.name], labels[node.name]) for node in graph.nodes],
        [
            DrawnEdge(
                edge, _loop(way) if edge.source == edge.task else _curve(way), _title(edge, joints)
            )
            for edge, way in zip(graph.edges, layout.ways, strict=True)
        ],
    )


def _title(edge: Edge, joints: Mapping[str, str]) -> str:
    source, target = (joints.get(name, name) for name in (edge.source, edge.task))
    return f"{target}: {edge.kind} {source}"


def _size(node: Node, label: str) -> Size:
    if node.joint:
        return Size(_columns(label) * STATES_WIDTH + 2 * JOINT_PADDING, JOINT_HEIGHT)
    text = max(_columns(label) * NAME_WIDTH, len(node.states) * STATES_WIDTH)
    height = TASK_HEIGHT if node.is_task else TRIGGER_HEIGHT
    return Size(max(text + 2 * PADDING, LEAST_WIDTH), height)


def _short(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME // 2]}…{name[1 - LONGEST_NAME // 2 :]}"


def _columns(text: str) -> int:
    """Return how many letters wide the text is: Chinese, Japanese, … are twice as wide."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def _curve(way: Sequence[Point]) -> str:
    """Return a line through the points that leaves and reaches each of them horizontally."""
    start, *rest = way
    steps = [f"M{start.x:.1f} {start.y:.1f}"]
    for left, right in zip(way, rest, strict=False):
        bend = (right.x - left.x) * BEND
        steps.append(
            f"C{left.x + bend:.1f} {left.y:.1f} {right.x - bend:.1f} {right.y:.1f} "
            f"{right.x:.1f} {right.y:.1f}"
        )
    return "".join(steps)


def _loop(way: Sequence[Point]) -> str:
    start, *controls = way
    return f"M{start.x:.1f} {start.y:.1f}C" + " ".join(f"{p.x:.1f} {p.y:.1f}" for p in controls)
