"""The commands of ``triggers``, and those that plugins add to them."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import importlib_metadata
import typer
from typer.core import TyperGroup

from triggers_core.cli.acting import (
    abandon,
    cancel,
    close,
    fire,
    reconfigure,
    replay,
    resolve,
    skip,
)
from triggers_core.cli.configurations import check, graph
from triggers_core.cli.configuring import configure
from triggers_core.cli.installed import plugins_, runners
from triggers_core.cli.keeping import gc, recover
from triggers_core.cli.looking import sessions, show, watch, why
from triggers_core.cli.terminal import (
    RECORDED_BUT_NOT_SENT,
    clear_errors,
    warn,
)
from triggers_core.plugins.in_use import Plugins, default_plugins

IMPORT_VARIABLE = "TRIGGERS_IMPORT"
EPILOG = f"""
Example: triggers why case-891 t_archive --storage sqlite:///triggers.db

Exit codes: 0 done; 1 an error, or something to complain of; 2 called wrongly;
{RECORDED_BUT_NOT_SENT} recorded, but not sent to a runner: do not repeat it, `recover` sends it.
"""


class _Commands(TyperGroup):
    """Turns an error of ours, from whichever command, into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        with clear_errors():
            return super().invoke(ctx)


def build(plugins: Plugins | None = None) -> typer.Typer:
    """Return the command line: the core's commands, then each plugin's own."""
    plugins = plugins or default_plugins()
    cli = typer.Typer(
        cls=_Commands,
        help="Run this task once these things have all happened.",
        epilog=EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )

    @cli.callback()
    def _start(
        context: typer.Context,
        modules: Annotated[
            list[str] | None,
            typer.Option(
                "--import",
                envvar=IMPORT_VARIABLE,
                metavar="MODULE",
                help="Import the application's module first: its Celery app, managers, storages.",
            ),
        ] = None,
        _version: Annotated[
            bool,
            typer.Option(
                "--version", callback=_print_version, is_eager=True, help="Print the version."
            ),
        ] = False,
    ) -> None:
        context.obj = plugins
        for each in plugins.left_out:
            warn(f"left out: {each.problem}")
        for module in modules or ():
            _import(module)

    for command in (
        runners,
        plugins_,
        check,
        graph,
        configure,
        sessions,
        show,
        why,
        fire,
        replay,
        skip,
        abandon,
        resolve,
        reconfigure,
        cancel,
        close,
        recover,
        watch,
        gc,
    ):
        cli.command(command.__name__.rstrip("_"))(command)
    plugins.register_commands(cli)
    return cli


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"triggers-core {importlib_metadata.version('triggers-core')}")
        raise typer.Exit


def _import(module: str) -> None:
    try:
        import_module(module)
    except Exception as error:
        raise typer.BadParameter(
            f"{module} cannot be imported: {type(error).__name__}: {error}",
            param_hint="--import",
        ) from error
