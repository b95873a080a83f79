"""Commands that show what is installed."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.markup import escape
from rich.table import Table

from triggers_core.cli.options import JsonOption
from triggers_core.cli.terminal import out


def runners(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the installed task runners, a broken one with the reason.

    Example: triggers runners
    """
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in context.obj.runners.listing()], indent=2))
        return
    table = Table("name", "distribution", "version", "state")
    for line in context.obj.runners.listing():
        table.add_row(line.name, line.distribution, line.version, _state(line.problem))
    out().print(table)


def plugins_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the hook plugins and the hooks that each implements, a broken one with the reason.

    Example: triggers plugins
    """
    hooks = context.obj.plugin_hooks()
    problems = {line.name: line.problem for line in context.obj.left_out}
    names = sorted({*hooks, *problems})
    if as_json:
        lines = [
            {"name": name, "hooks": hooks.get(name, []), "problem": problems.get(name)}
            for name in names
        ]
        typer.echo(json.dumps(lines, indent=2))
        return
    table = Table("name", "hooks", "state")
    for name in names:
        table.add_row(name, ", ".join(hooks.get(name, ())), _state(problems.get(name)))
    out().print(table)


def _state(problem: str | None) -> str:
    return "[green]ready[/]" if problem is None else f"[red]{escape(problem)}[/]"
