"""A configuration as a picture: Mermaid or Graphviz text, coloured by state for a session. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from triggers_core.config import Configuration, TaskConfig
from triggers_core.instance import Status, TaskInstance

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

EdgeKind = Literal["after", "andEvery", "unless"]


@dataclass(frozen=True)
class _Edge:
    source: str
    task: str
    kind: EdgeKind


def to_mermaid(configuration: Configuration, instances: Iterable[TaskInstance] = ()) -> str:
    """Return a Mermaid flowchart: triggers as rounded boxes, tasks as boxes.

    ``andEvery`` is a thick arrow, ``unless`` a dotted one. With a session's instances, a task
    has the colour of its latest instance and the count of each status.
    """
    states = _states(instances)
    ids = _ids(configuration)
    arrows = {"after": "-->", "andEvery": "==>|every|", "unless": "-.->|unless|"}
    lines = ["flowchart LR"]
    for name, node in ids.items():
        label = _quoted(_label(name, states))
        lines.append(f"    {node}[{label}]" if name in configuration else f"    {node}({label})")
    for edge in _edges(configuration):
        lines.append(f"    {ids[edge.source]} {arrows[edge.kind]} {ids[edge.task]}")
    for name, statuses in states.items():
        if name in ids:
            lines.append(f"    style {ids[name]} fill:{COLOURS[statuses[-1]]}")
    return "\n".join(lines) + "\n"


def to_dot(configuration: Configuration, instances: Iterable[TaskInstance] = ()) -> str:
    """Return the same picture for Graphviz."""
    states = _states(instances)
    ids = _ids(configuration)
    styles = {
        "after": "",
        "andEvery": ' [style=bold, label="every"]',
        "unless": ' [style=dotted, label="unless"]',
    }
    lines = ["digraph triggers {", "    rankdir=LR;", '    node [fontname="sans-serif"];']
    for name, node in ids.items():
        shape = "box" if name in configuration else "oval"
        colour = (
            f', style=filled, fillcolor="{COLOURS[states[name][-1]]}"' if name in states else ""
        )
        lines.append(f"    {node} [label={_quoted(_label(name, states))}, shape={shape}{colour}];")
    for edge in _edges(configuration):
        lines.append(f"    {ids[edge.source]} -> {ids[edge.task]}{styles[edge.kind]};")
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


def _ids(configuration: Configuration) -> dict[str, str]:
    """Return name → node id, the sources of each task before it."""
    names: dict[str, None] = {}
    for task in configuration.values():
        names.update(dict.fromkeys(edge.source for edge in _edges_to(task)))
        names[task.name] = None
    return {name: f"n{index}" for index, name in enumerate(names)}


def _states(instances: Iterable[TaskInstance]) -> dict[str, list[Status]]:
    states: dict[str, list[Status]] = {}
    for instance in instances:
        states.setdefault(instance.task_name, []).append(instance.status)
    return states


def _label(name: str, states: Mapping[str, list[Status]]) -> str:
    statuses = states.get(name, [])
    counts = (f"{statuses.count(status)} {status}" for status in Status if status in statuses)
    return ": ".join(filter(None, (name, ", ".join(counts))))


def _quoted(label: str) -> str:
    return '"' + label.replace("\\", "\\\\").replace('"', "'") + '"'
