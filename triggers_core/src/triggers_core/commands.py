"""The commands of ``triggers``, and those that plugins add to them."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from triggers_core.plugins import Plugins, default_plugins


def build(plugins: Plugins | None = None) -> typer.Typer:
    """Return the command line: the core's commands, then each plugin's own."""
    plugins = plugins or default_plugins()
    cli = typer.Typer(
        help="Run this task once these things have all happened.", no_args_is_help=True
    )

    @cli.command("runners")
    def _runners() -> None:
        """List the installed task runners; a broken one with the reason."""
        table = Table("name", "distribution", "version", "state")
        for line in plugins.runners.listing():
            table.add_row(line.name, line.distribution, line.version, line.problem or "ready")
        Console().print(table)

    @cli.command("plugins")
    def _plugins() -> None:
        """List the registered hook plugins."""
        table = Table("name")
        for name in plugins.plugin_names():
            table.add_row(name)
        Console().print(table)

    plugins.hook.triggers_register_commands(cli=cli)
    return cli
