"""Commands on a configuration: check it, draw it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from triggers_core.cli.options import (
    ConfigurationArgument,
    StorageOption,
    complete_session,
    parsed,
    viewer_at,
)
from triggers_core.cli.terminal import (
    as_svg,
    how_many,
    out,
)
from triggers_core.insight.graph import to_dot, to_mermaid
from triggers_core.insight.lint import lint
from triggers_core.insight.viewing import facts_of
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import Plugins
from triggers_core.rules.config import Configuration, NotesUnclaimed, ValidateDirective


class Picture(str, Enum):
    """What a graph is written as."""

    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


def check(context: typer.Context, configuration: ConfigurationArgument) -> None:
    """Check a configuration file; exit with 1 if it is wrong, or likely to be.

    Example: triggers check permits.json
    """
    validate = NotesUnclaimed(context.obj.validate_directive)
    parsed = _configuration(configuration, validate)
    for task in parsed.values():
        context.obj.check_target(task.run, f"task {task.name!r}")
    warnings = lint(
        parsed,
        known_runners=context.obj.runners.names(),
        default_runner=_default(context.obj),
        unclaimed=validate.found,
    )
    for warning in warnings:
        out().print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    if warnings:
        raise typer.Exit(1)
    out().print(f"[green]{how_many(len(parsed), 'task')}, nothing to complain of[/]")


def graph(
    context: typer.Context,
    configuration: Annotated[
        Path | None, typer.Argument(help="A JSON file.", exists=True, dir_okay=False)
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(help="This session's, by state.", autocompletion=complete_session),
    ] = None,
    storage: StorageOption = None,
    form: Annotated[Picture, typer.Option("--format", help="The output.")] = Picture.MERMAID,
) -> None:
    """Draw a configuration, or a session coloured by state: Mermaid, Graphviz text or SVG.

    Examples:

        triggers graph permits.json

        triggers graph --session case-891 --format svg > case-891.svg
    """
    if (configuration is None) == (session is None):
        raise typer.BadParameter("name a configuration file or a --session, one of the two")
    draw = to_mermaid if form is Picture.MERMAID else to_dot
    if configuration is not None:
        text = draw(_configuration(configuration, context.obj.validate_directive))
    else:
        facts = facts_of(viewer_at(context.obj, storage, str(session)))
        text = draw(facts.configuration, facts.instances, fired=facts.fired)
    typer.echo(as_svg(text) if form is Picture.SVG else text, nl=False)


def _default(plugins: Plugins) -> str | None:
    """Return the runner of tasks that name none; None where a plugin chooses."""
    chooses = plugins.has_hook("triggers_select_runner")
    return None if chooses else TriggerManager.default_task_runner_name


def _configuration(path: Path, validate: ValidateDirective) -> Configuration:
    return Configuration.parse(parsed(str(path), path.read_bytes()), validate)
