"""The command that changes what sessions are configured with: of one, or of all that are open."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from triggers_core.cli.options import (
    ByOption,
    JsonOption,
    ReasonOption,
    StorageOption,
    complete_session,
    configuration_at,
    open_storage,
    storage_at,
)
from triggers_core.cli.terminal import RECORDED_BUT_NOT_SENT, err, how_many, out, plain, warn
from triggers_core.engine.outcome import ConfigurationOutcome
from triggers_core.errors import ConfigurationError, DispatchError, InvalidKwargs, TriggersError
from triggers_core.insight.viewing import manager_of
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import Plugins
from triggers_core.rules.config import Configuration
from triggers_core.rules.instance import OPEN, Status, TaskInstance
from triggers_core.storage.base import Storage

Told = dict[str, ConfigurationOutcome | TriggersError]
"""Session uid → what was done, or why not all of it was."""


def configure(
    context: typer.Context,
    configuration: Annotated[
        str | None,
        typer.Argument(help="A JSON file, or module:NAME. Without one no task is added."),
    ] = None,
    storage: StorageOption = None,
    session: Annotated[
        list[str] | None,
        typer.Option(help="This session; may be repeated.", autocompletion=complete_session),
    ] = None,
    all_open: Annotated[
        bool,
        typer.Option(
            "--all-open",
            help="All sessions in which something may still happen, and that have one of the "
            "tasks named here.",
        ),
    ] = False,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="With --all-open: those whose uid is like 'permit *', whatever tasks they have.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take out all tasks that it does not name.")
    ] = False,
    retire: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="Take out this task; may be repeated."),
    ] = None,
    abandon_retired: Annotated[
        bool,
        typer.Option(
            "--abandon-retired",
            help="Abandon the instances that wait and whose task is taken out; else they go on.",
        ),
    ] = False,
    update_instances: Annotated[
        bool,
        typer.Option(
            "--update-instances",
            help="Take the instances that wait over to the new directives; else they go on by "
            "those that they were made under.",
        ),
    ] = False,
    reason: ReasonOption = None,
    by: ByOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Change what sessions are configured with: add, replace and retire tasks.

    Safe to repeat: what is done already is left as it is. Each session is changed as a whole or
    not at all, and an error with one keeps no other back.

    Examples:

        triggers configure permits.json --all-open --replace --dry-run

        triggers configure shop.steps:STEPS --all-open --replace --abandon-retired --by deploy-42

        triggers configure --session case-891 --retire remind
    """
    plugins: Plugins = context.obj
    tasks = {} if configuration is None else configuration_at(configuration)
    named = {*Configuration.parse(tasks, plugins.validate_directive), *(retire or ())}
    opened = (storage_at if dry_run else open_storage)(plugins, storage)
    change = partial(
        TriggerManager.update_configuration,
        configuration=tasks,
        replace=replace,
        retire=retire or (),
        abandon_retired=abandon_retired,
        update_instances=update_instances,
        reason=reason,
        by=by if abandon_retired else None,  # it may be said in the environment, for all commands
        dry_run=dry_run,
    )
    chosen = _chosen(opened, session or [], all_open, match, named)
    told = {uid: _told_of(change, plugins, opened, uid) for uid in chosen}
    if as_json:
        typer.echo(json.dumps([_as_json(*each) for each in told.items()], indent=2))
    else:
        _print(told, dry_run=dry_run)
    _warn(told, retire or ())
    _exit_by_errors(told)


def _chosen(
    storage: Storage, sessions: list[str], all_open: bool, match: str | None, named: set[str]
) -> list[str]:
    if bool(sessions) == all_open:
        raise typer.BadParameter("name a --session, or say --all-open: one of the two")
    if match is not None and not all_open:
        raise typer.BadParameter("--match chooses of --all-open, and not of sessions by name")
    if sessions:
        return list(dict.fromkeys(sessions))
    console = err()
    found = track(
        [uid for uid, _ in storage.sessions()],
        description="looking at sessions",
        console=console,
        disable=not console.is_terminal,
    )
    return [uid for uid in found if _is_chosen(storage, uid, match, named)]


def _is_chosen(storage: Storage, session_uid: str, match: str | None, named: set[str]) -> bool:
    if match is not None and not fnmatchcase(session_uid, match):
        return False
    try:
        with storage.read(session_uid) as reader:
            if reader.closing() is not None:
                return False
            configuration, instances = reader.configuration(), reader.instances()
    except TriggersError:  # so that it is told with the others
        return True
    has_one = match is not None or not named.isdisjoint(configuration)
    return has_one and _is_open(configuration, instances)


def _is_open(configuration: Configuration, instances: list[TaskInstance]) -> bool:
    """Return whether anything may still happen in the session, by itself or by a trigger."""
    begun = {instance.task_name for instance in instances}
    return any(task.and_every or task.name not in begun for task in configuration.values()) or any(
        instance.status in OPEN or (instance.status is Status.FAILED and not instance.is_resolved)
        for instance in instances
    )


def _told_of(
    change: Callable[[TriggerManager], ConfigurationOutcome],
    plugins: Plugins,
    storage: Storage,
    session_uid: str,
) -> ConfigurationOutcome | TriggersError:
    try:
        return change(manager_of(plugins, storage, session_uid))
    except (ConfigurationError, InvalidKwargs):  # it is wrong for each session
        raise
    except TriggersError as error:
        return error


def _as_json(session_uid: str, told: ConfigurationOutcome | TriggersError) -> dict[str, Any]:
    rest = {"error": str(told)} if isinstance(told, TriggersError) else told.to_dict()
    return {"session": session_uid, **rest}


def _print(told: Told, *, dry_run: bool) -> None:
    outcomes = _outcomes(told)
    lines = {uid: each for uid, each in outcomes.items() if each.is_change or each.kept}
    columns = [
        column.name
        for column in fields(ConfigurationOutcome)
        if any(getattr(outcome, column.name) for outcome in lines.values())
    ]
    table = Table(*(Column(name, overflow="fold") for name in ("session", *columns)))
    for uid, outcome in lines.items():
        cells = (", ".join(getattr(outcome, name)) for name in columns)
        table.add_row(escape(uid), *map(escape, cells))
    if lines:
        out().print(table)
    changed = sum(outcome.is_change for outcome in outcomes.values())
    typer.echo(
        f"{how_many(changed, 'session')} {'would be changed' if dry_run else 'changed'}, "
        f"{len(outcomes) - changed} as they should be"
    )


def _warn(told: Told, retire: Iterable[str]) -> None:
    outcomes = _outcomes(told).values()
    if not told:
        warn("no open session has a task of those named here; --match chooses by the uid instead")
    for name in retire:
        if outcomes and not any(name in outcome.retired for outcome in outcomes):
            warn(f"none of these sessions had the task {name!r}")
    for name, count in Counter(name for each in outcomes for name in each.stranded).items():
        warn(
            f"task {name!r} awaits the end of a task that is taken out, in "
            f"{how_many(count, 'session')}: it waits until somebody fires that trigger"
        )


def _outcomes(told: Told) -> dict[str, ConfigurationOutcome]:
    return {uid: each for uid, each in told.items() if isinstance(each, ConfigurationOutcome)}


def _exit_by_errors(told: Told) -> None:
    errors = {uid: each for uid, each in told.items() if isinstance(each, TriggersError)}
    for uid, error in errors.items():
        err().print(f"[red]error:[/] {escape(plain(f'session {uid!r}: {error}'))}", soft_wrap=True)
    if errors:
        only_unsent = all(isinstance(error, DispatchError) for error in errors.values())
        raise typer.Exit(RECORDED_BUT_NOT_SENT if only_unsent else 1)
