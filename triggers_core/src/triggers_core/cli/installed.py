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
        state = "[green]ready[/]" if line.problem is None else f"[red]{escape(line.problem)}[/]"
        table.add_row(line.name, line.distribution, line.version, state)
    out().print(table)


def plugins_(context: typer.Context) -> None:
    """List the registered plugins, and the hooks that each implements.

    Example: triggers plugins
    """
    table = Table("name", "hooks")
    for name, hooks in context.obj.plugin_hooks().items():
        table.add_row(name, ", ".join(hooks))
    out().print(table)
