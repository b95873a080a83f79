"""Commands on a configuration: check it, draw it."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer
from rich.markup import escape

from triggers_core.cli.options import (
    ConfigurationArgument,
    StorageOption,
    complete_session,
    configuration_at,
    viewer_at,
)
from triggers_core.cli.terminal import (
    as_svg,
    how_many,
    out,
    plain,
)
from triggers_core.errors import ConfigurationError
from triggers_core.insight.graph import to_dot, to_mermaid
from triggers_core.insight.lint import lint
from triggers_core.insight.viewing import facts_of
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import Plugins
from triggers_core.rules.config import Configuration, NotesUnclaimed
from triggers_core.storage.memory import MemoryStorage


class Picture(str, Enum):
    """What a graph is written as."""

    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


def check(
    context: typer.Context,
    configuration: ConfigurationArgument,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Also import what the tasks run.")
    ] = False,
) -> None:
    """Check a configuration; exit with 1 if it is wrong, or likely to be.

    Examples:

        triggers check permits.json

        triggers --import shop.celery check shop.steps:STEPS --resolve
    """
    plugins: Plugins = context.obj
    validate = NotesUnclaimed(plugins.validate_directive)
    checked = Configuration.parse(configuration_at(configuration), validate)
    for task in checked.values():
        plugins.check_target(task.run, f"task {task.name!r}")
    warnings = lint(
        checked,
        known_runners=plugins.runners.names(),
        default_runner=_default(plugins),
        unclaimed=validate.found,
    )
    warnings += _refused(plugins, checked)
    warnings += _unresolved(plugins, checked) if resolve else []
    for warning in warnings:
        out().print(f"[yellow]warning:[/] {escape(plain(warning))}", soft_wrap=True)
    if warnings:
        raise typer.Exit(1)
    out().print(f"[green]{how_many(len(checked), 'task')}, nothing to complain of[/]")


def graph(
    context: typer.Context,
    configuration: Annotated[
        str | None, typer.Argument(help="A JSON file, or module:NAME.")
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
        raise typer.BadParameter("name a configuration or a --session, one of the two")
    draw = to_mermaid if form is Picture.MERMAID else to_dot
    if configuration is not None:
        written = configuration_at(configuration)
        text = draw(Configuration.parse(written, context.obj.validate_directive))
    else:
        facts = facts_of(viewer_at(context.obj, storage, str(session)))
        text = draw(facts.configuration, facts.instances, fired=facts.fired)
    typer.echo(as_svg(text) if form is Picture.SVG else text, nl=False)


def _default(plugins: Plugins) -> str | None:
    """Return the runner of tasks that name none; None where a plugin chooses."""
    chooses = plugins.has_hook("triggers_select_runner")
    return None if chooses else TriggerManager.default_task_runner_name


def _refused(plugins: Plugins, configuration: Configuration) -> list[str]:
    """Return a complaint for each task that a plugin refuses."""
    complaints = []
    for task in configuration.values():
        try:
            plugins.check_task(task, task.using or _default(plugins))
        except ConfigurationError as error:
            complaints.append(str(error))
    return complaints


def _unresolved(plugins: Plugins, configuration: Configuration) -> list[str]:
    """Return a complaint for each target that leads to no task in this process."""
    manager = TriggerManager("check", storage=MemoryStorage(), plugins=plugins)
    complaints = []
    for task in configuration.values():
        try:
            plugins.hook.triggers_resolve_task(manager=manager, target=task.run)
        except (Exception, SystemExit) as error:  # whatever a module raises while it is imported
            complaints.append(f"task {task.name!r}: {type(error).__name__}: {error}")
    return complaints
