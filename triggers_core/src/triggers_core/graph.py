"""A configuration as a picture: Mermaid or Graphviz text, coloured by state for a session. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from triggers_core.config import Configuration, TaskConfig
from triggers_core.instance import Status, TaskInstance, counted

COLOURS: Mapping[Status, str] = {
    Status.UNSTARTED: "#e5e7eb",
    Status.SCHEDULED: "#bfdbfe",
    Status.RUNNING: "#60a5fa",
    Status.FINISHED: "#86efac",
    Status.FAILED: "#fca5a5",
    Status.ABANDONED: "#d6d3d1",
    Status.REPLAYED: "#fde68a",
    Status.SKIPPED: "#ddd6fe",
}
FIRED_COLOUR = "#dcfce7"
TEXT_COLOUR = "#111827"
"""Said with every fill: a viewer's dark theme has light text."""

_MOST_URGENT_FIRST = (Status.FAILED, Status.RUNNING, Status.SCHEDULED, Status.UNSTARTED)

EdgeKind = Literal["after", "andEvery", "unless"]


@dataclass(frozen=True)
class _Edge:
    source: str
    task: str
    kind: EdgeKind


@dataclass(frozen=True)
class _Node:
    """A trigger or a task: its id in the picture, its name, a second line and a fill."""

    id: str
    name: str
    is_task: bool
    states: str
    fill: str | None


def to_mermaid(
    configuration: Configuration,
    instances: Iterable[TaskInstance] = (),
    *,
    fired: Collection[str] = (),
) -> str:
    """Return a Mermaid flowchart: triggers as rounded boxes, tasks as boxes.

    ``andEvery`` is a thick arrow, ``unless`` a dotted one. With a session's instances, a task
    has the count of each status, and the colour of the one that most needs attention: failed,
    running, scheduled, unstarted, else its latest.

    Args:
        fired: the triggers that have fired, which are coloured too.
    """
    arrows = {"after": "-->", "andEvery": "==>|every|", "unless": "-.->|unless|"}
    nodes = _nodes(configuration, instances, fired)
    lines = ["flowchart LR"]
    for node in nodes.values():
        label = "<br/>".join(filter(None, (_for_mermaid(node.name), node.states)))
        lines.append(f'    {node.id}["{label}"]' if node.is_task else f'    {node.id}("{label}")')
    for edge in _edges(configuration):
        lines.append(f"    {nodes[edge.source].id} {arrows[edge.kind]} {nodes[edge.task].id}")
    for node in nodes.values():
        if node.fill:
            lines.append(f"    style {node.id} fill:{node.fill},color:{TEXT_COLOUR}")
    return "\n".join(lines) + "\n"


def to_dot(
    configuration: Configuration,
    instances: Iterable[TaskInstance] = (),
    *,
    fired: Collection[str] = (),
) -> str:
    """Return the same picture for Graphviz."""
    styles = {
        "after": "",
        "andEvery": ' [style=bold, label="every"]',
        "unless": ' [style=dotted, label="unless"]',
    }
    nodes = _nodes(configuration, instances, fired)
    lines = [
        "digraph triggers {",
        "    rankdir=LR;",
        f'    node [fontname="Helvetica", fontcolor="{TEXT_COLOUR}"];',
        f'    edge [fontname="Helvetica", fontsize=10, fontcolor="{TEXT_COLOUR}"];',
    ]
    for node in nodes.values():
        label = r"\n".join(filter(None, (_for_dot(node.name), node.states)))
        shape = "box" if node.is_task else "oval"
        fill = f', style=filled, fillcolor="{node.fill}"' if node.fill else ""
        lines.append(f'    {node.id} [label="{label}", shape={shape}{fill}];')
    for edge in _edges(configuration):
        lines.append(f"    {nodes[edge.source].id} -> {nodes[edge.task].id}{styles[edge.kind]};")
    return "\n".join([*lines, "}"]) + "\n"


def _edges(configuration: Configuration) -> list[_Edge]:
    return [edge for task in configuration.values() for edge in _edges_to(task)]


def _edges_to(task: TaskConfig) -> list[_Edge]:
    every: list[_Edge] = [_Edge(task.and_every, task.name, "andEvery")] if task.and_every else []
    return [
        *(_Edge(name, task.name, "after") for name in task.after if name != task.and_every),
        *every,
        *(_Edge(name, task.name, "unless") for name in task.unless),
    ]


def _nodes(
    configuration: Configuration, instances: Iterable[TaskInstance], fired: Collection[str]
) -> dict[str, _Node]:
    """Return name → node, the sources of each task before it."""
    names: dict[str, None] = {}
    for task in configuration.values():
        names.update(dict.fromkeys(edge.source for edge in _edges_to(task)))
        names[task.name] = None
    statuses: dict[str, list[Status]] = {}
    for instance in instances:
        statuses.setdefault(instance.task_name, []).append(instance.status)
    return {
        name: _Node(
            f"n{index}",
            name,
            name in configuration,
            counted(statuses.get(name, [])),
            _fill(statuses.get(name, []), has_fired=name in fired),
        )
        for index, name in enumerate(names)
    }


def _fill(statuses: list[Status], *, has_fired: bool) -> str | None:
    for status in _MOST_URGENT_FIRST:
        if status in statuses:
            return COLOURS[status]
    if statuses:
        return COLOURS[statuses[-1]]
    return FIRED_COLOUR if has_fired else None


_MERMAID_CODES = str.maketrans({character: f"#{ord(character)};" for character in '"#&;<>\\`'})


def _for_mermaid(name: str) -> str:
    return name.translate(_MERMAID_CODES)


def _for_dot(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
