"""The commands of ``triggers``, and those that plugins add to them."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from triggers_core.plugins import STORAGE_VARIABLE, Plugins, default_plugins
from triggers_core.recovery import DEFAULT_INTERVAL, recover_once, run_forever
from triggers_core.storage.base import DEFAULT_ALIAS


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

    @cli.command("recover")
    def _recover(
        storage: str = typer.Option(
            ..., envvar=STORAGE_VARIABLE, help="Where: sqlite:///triggers.db, …"
        ),
        alias: str = typer.Option(DEFAULT_ALIAS, help="What messages to workers call it."),
        interval: float = typer.Option(DEFAULT_INTERVAL, help="Seconds between two passes."),
        once: bool = typer.Option(False, "--once", help="Make one pass and stop."),
    ) -> None:
        """Send again what lost its message, and take over what lost its worker."""
        opened = plugins.open_storage(storage, alias=alias)
        plugins.add_storage(opened)
        if not once:
            run_forever(opened, plugins=plugins, interval=interval)
        recovered = recover_once(opened, plugins=plugins)
        table = Table("what", "session", "instance")
        for what, found in asdict(recovered).items():
            for session_uid, instance_name in found:
                table.add_row(what, session_uid, instance_name)
        Console().print(table)
        if recovered.errors:
            raise typer.Exit(1)

    plugins.hook.triggers_register_commands(cli=cli)
    return cli
