"""What was measured: as a table, as JSON, and as a plot of each growth curve."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import pygal
from measure import Row, Skipped
from pygal.style import CleanStyle
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

NARROWEST = 150


def machine() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cpus": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def show(rows: Iterable[Row], skipped: Iterable[Skipped]) -> None:
    table = Table(box=SIMPLE, title=", ".join(f"{key} {value}" for key, value in machine().items()))
    table.add_column("subject", no_wrap=True)
    table.add_column("what", no_wrap=True)
    for column in ("ours", "baseline", "median", "quartiles", "target"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    subject = ""
    for row in rows:
        digits = 0 if row.median >= 10 else 2
        table.add_row(
            "" if row.subject == subject else row.subject,
            row.name,
            row.candidate,
            row.baseline,
            f"{row.median:.{digits}f}",
            f"{row.lower:.{digits}f} – {row.upper:.{digits}f}",
            row.target,
            {True: "met", False: "missed", None: ""}[row.is_met],
        )
        subject = row.subject
    console = Console()
    console.width = max(console.width, NARROWEST)
    console.print(table)
    for subject in skipped:
        console.print(f"{subject.name} was left out: {subject.reason}")


def write(rows: Sequence[Row], skipped: Sequence[Skipped], folder: Path) -> list[Path]:
    """Write the JSON and the plots; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "machine": machine(),
        "rows": [asdict(row) for row in rows],
        "skipped": [asdict(subject) for subject in skipped],
    }
    written = [folder / "bench.json"]
    written[0].write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    for what in sorted({row.curve[0] for row in rows if row.curve}):
        written.append(folder / f"{what.replace(' ', '-')}.svg")
        plot(what, [row for row in rows if row.curve and row.curve[0] == what], written[-1])
    return written


def plot(what: str, rows: Sequence[Row], path: Path) -> None:
    """Plot what a fire costs, as a multiple of the cost at the smallest size, with quartiles."""
    sizes = sorted({row.size for row in rows if row.size is not None})
    chart = pygal.Line(
        title=f"Cost of a fire by {what}",
        x_title=what,
        y_title="cost / cost at the smallest size",
        x_labels=["smallest", *(f"{size:,}" for size in sizes)],
        range=(0.0, max(2.0, *(row.upper for row in rows))),
        style=CleanStyle(background="white", plot_background="white"),
        js=[],
        show_minor_x_labels=True,
        height=400,
    )
    for storage_name in dict.fromkeys(row.curve[1] for row in rows if row.curve):
        points = {row.size: row for row in rows if row.curve and row.curve[1] == storage_name}
        chart.add(storage_name, [1.0, *(_point(points.get(size)) for size in sizes)])
    chart.render_to_file(str(path))


def _point(row: Row | None) -> object:
    if row is None:
        return None
    return {"value": round(row.median, 3), "ci": {"low": row.lower, "high": row.upper}}
