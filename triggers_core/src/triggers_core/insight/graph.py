"""A configuration as a picture: Mermaid or Graphviz text, coloured by state for a session. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from triggers_core.insight.wording import joint_label
from triggers_core.rules.conditions import Entry, Group, Number
from triggers_core.rules.config import Configuration, TaskConfig
from triggers_core.rules.instance import Status, TaskInstance, counted

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

EdgeKind = Literal["after", "andEvery", "unless", "times", "onFailure"]


@dataclass(frozen=True)
class Edge:
    """What a task waits for, or in ``unless`` what keeps it from running: a trigger or a task.

    A condition is a joint between them, which edges lead to and from as to and from a task; one of
    ``times`` leads to it from the trigger that says how often. One of ``onFailure`` leads from a
    task to the trigger that its failure fires, which is then in the place of ``task``.
    """

    source: str
    task: str
    kind: EdgeKind


@dataclass(frozen=True)
class Node:
    """A trigger, a task, or the joint of a condition.

    Attributes:
        name: unique in the graph. A joint's is where its condition stands.
        is_task: whether the configuration has a task of that name.
        states: how many instances stand how; "" for none.
        status: that of the instance which most needs attention: failed, running, scheduled,
            unstarted, else the latest; None without any.
        has_fired: whether it is a trigger that has fired.
        joint: what stands in the joint, "any" or "2 of 3" or "12 ×"; "" for no joint.
    """

    name: str
    is_task: bool
    states: str
    status: Status | None
    has_fired: bool
    joint: str = ""

    @property
    def fill(self) -> str | None:
        """The colour that says how it stands; None for none."""
        if self.status is not None:
            return COLOURS[self.status]
        return FIRED_COLOUR if self.has_fired else None


@dataclass(frozen=True)
class Graph:
    """A configuration as nodes, the sources of each task before it, and edges between them."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph_of(
    configuration: Configuration,
    instances: Iterable[TaskInstance] = (),
    *,
    fired: Collection[str] = (),
) -> Graph:
    """Return the graph that the pictures show.

    Args:
        instances: those of a session, by number; () for the configuration alone.
        fired: the triggers that have fired.
    """
    edges: list[Edge] = []
    names: dict[str, str] = {}
    for task in configuration.values():
        for edge, joint in _edges_to(task):
            edges.append(edge)
            names[edge.source] = joint
        names[task.name] = ""
        if task.on_failure is not None:
            edges.append(Edge(task.name, task.on_failure, "onFailure"))
            names.setdefault(task.on_failure, "")
    statuses: dict[str, list[Status]] = {}
    for instance in instances:
        statuses.setdefault(instance.task_name, []).append(instance.status)
    nodes = (
        Node(
            name,
            name in configuration,
            counted(statuses.get(name, [])),
            _most_urgent(statuses.get(name, [])),
            name in fired,
            joint,
        )
        for name, joint in names.items()
    )
    return Graph(tuple(nodes), tuple(edges))


def to_mermaid(
    configuration: Configuration,
    instances: Iterable[TaskInstance] = (),
    *,
    fired: Collection[str] = (),
) -> str:
    """Return a Mermaid flowchart: triggers as rounded boxes, tasks as boxes, conditions as circles.

    ``andEvery`` is a thick arrow, ``unless`` a dotted one, and so are that from a trigger that says
    how often and that from a task to the trigger of its failure. With a session's instances, a task
    has the count of each status, and the colour of :attr:`Node.status`.

    Args:
        fired: the triggers that have fired, which are coloured too.
    """
    arrows = {
        "after": "-->",
        "andEvery": "==>|every|",
        "unless": "-.->|unless|",
        "times": "-.->|times|",
        "onFailure": "-.->|fails|",
    }
    graph = graph_of(configuration, instances, fired=fired)
    ids = _ids(graph)
    lines = ["flowchart LR"]
    for node in graph.nodes:
        label = "<br/>".join(filter(None, (_for_mermaid(node.joint or node.name), node.states)))
        left, right = "[]" if node.is_task else ("((", "))") if node.joint else "()"
        lines.append(f'    {ids[node.name]}{left}"{label}"{right}')
    for edge in graph.edges:
        lines.append(f"    {ids[edge.source]} {arrows[edge.kind]} {ids[edge.task]}")
    for node in graph.nodes:
        if node.fill:
            lines.append(f"    style {ids[node.name]} fill:{node.fill},color:{TEXT_COLOUR}")
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
        "times": ' [style=dotted, label="times"]',
        "onFailure": ' [style=dashed, label="fails"]',
    }
    graph = graph_of(configuration, instances, fired=fired)
    ids = _ids(graph)
    lines = [
        "digraph triggers {",
        "    rankdir=LR;",
        f'    node [fontname="Helvetica", fontcolor="{TEXT_COLOUR}"];',
        f'    edge [fontname="Helvetica", fontsize=10, fontcolor="{TEXT_COLOUR}"];',
    ]
    for node in graph.nodes:
        label = r"\n".join(filter(None, (_for_dot(node.joint or node.name), node.states)))
        shape = "box" if node.is_task else "circle" if node.joint else "oval"
        fill = f', style=filled, fillcolor="{node.fill}"' if node.fill else ""
        lines.append(f'    {ids[node.name]} [label="{label}", shape={shape}{fill}];')
    for edge in graph.edges:
        lines.append(f"    {ids[edge.source]} -> {ids[edge.task]}{styles[edge.kind]};")
    return "\n".join([*lines, "}"]) + "\n"


def _edges_to(task: TaskConfig) -> Iterator[tuple[Edge, str]]:
    """Yield each edge to the task or to a joint before it, and what stands in the edge's source if
    that is a joint; what leads to a joint comes before what leads from it."""
    yield from _within(
        task.name, "after", task.name, (e for e in task.after if e != task.and_every)
    )
    if task.and_every:
        yield Edge(task.and_every, task.name, "andEvery"), ""
    yield from _within(task.name, "unless", task.name, task.unless)


def _within(
    path: str, kind: Literal["after", "unless"], target: str, entries: Iterable[Entry]
) -> Iterator[tuple[Edge, str]]:
    for index, entry in enumerate(entries):
        if isinstance(entry, str):
            yield Edge(entry, target, kind), ""
            continue
        # Not even a task's name can have a line break.
        joint = f"{path}\n{kind}[{index}]"
        if isinstance(entry, Group):
            yield from _within(joint, "after", joint, entry.of)
        else:
            yield Edge(entry.trigger, joint, "after"), ""
            if isinstance(entry.times, Number):
                yield Edge(entry.times.trigger, joint, "times"), ""
        yield Edge(joint, target, kind), joint_label(entry)


def _most_urgent(statuses: list[Status]) -> Status | None:
    for status in _MOST_URGENT_FIRST:
        if status in statuses:
            return status
    return statuses[-1] if statuses else None


def _ids(graph: Graph) -> dict[str, str]:
    return {node.name: f"n{index}" for index, node in enumerate(graph.nodes)}


_MERMAID_CODES = str.maketrans({character: f"#{ord(character)};" for character in '"#&;<>\\`'})


def _for_mermaid(name: str) -> str:
    return name.translate(_MERMAID_CODES)


def _for_dot(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
