"""Commands that look at sessions, and change nothing."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, Any, NamedTuple

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Column, Table

from triggers_core.cli.options import (
    IntervalOption,
    JsonOption,
    SessionArgument,
    StorageOption,
    complete_task,
    storage_at,
    viewer_at,
)
from triggers_core.cli.terminal import (
    coloured_counts,
    instances_table,
    out,
    plain,
    print_finding,
    stopped_by_signals,
)
from triggers_core.insight.diagnosis import explain
from triggers_core.insight.viewing import facts_of
from triggers_core.rules.closing import Closing
from triggers_core.rules.instance import ACTIVE, Status, TaskInstance
from triggers_core.storage.base import Storage

DEFAULT_SESSIONS = 50
"""Lines of ``triggers sessions``."""


def sessions(
    context: typer.Context,
    storage: StorageOption = None,
    status: Annotated[
        list[Status] | None, typer.Option(help="Only those with an instance that stands so.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Lines at most.", min=1)] = DEFAULT_SESSIONS,
    as_json: JsonOption = False,
) -> None:
    """List sessions, oldest first, with how many instances stand where.

    Example: triggers sessions --status failed
    """
    found = _counted(storage_at(context.obj, storage), status, limit + 1)
    if as_json:
        typer.echo(json.dumps([_session_as_json(each) for each in found[:limit]], indent=2))
        return
    table = Table(Column("session", overflow="fold"), "manager", "instances")
    for each in found[:limit]:
        over = f" ({escape(plain(str(each.closing)))})" if each.closing is not None else ""
        counts = f"{coloured_counts(each.instances)}{over}"
        table.add_row(escape(each.uid), escape(each.manager_name), counts)
    if len(found) > limit:
        table.caption = f"the first {limit}; --limit shows more"
    out().print(table)


class _Session(NamedTuple):
    """What is listed of one."""

    uid: str
    manager_name: str
    instances: list[TaskInstance]
    closing: Closing | None


def _counted(storage: Storage, status: list[Status] | None, most: int) -> list[_Session]:
    found: list[_Session] = []
    for session_uid, manager_name in storage.sessions():
        with storage.read(session_uid) as reader:
            if status and not reader.instances(statuses=status):
                continue
            found.append(_Session(session_uid, manager_name, reader.instances(), reader.closing()))
        if len(found) == most:
            break
    return found


def _session_as_json(session: _Session) -> dict[str, Any]:
    return {
        "session": session.uid,
        "manager": session.manager_name,
        "instances": Counter(instance.status.value for instance in session.instances),
        "closing": None if session.closing is None else asdict(session.closing),
    }


def show(
    context: typer.Context,
    session: SessionArgument,
    storage: StorageOption = None,
    open_only: Annotated[
        bool, typer.Option("--open", help="Only what is not over: it waits, is queued or runs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a session's instances: status, what each waits for, since when, how long it was queued
    for a worker and ran, attempts.

    Examples:

        triggers show case-891 --storage sqlite:///triggers.db

        triggers show case-891 --open
    """
    manager = viewer_at(context.obj, storage, session)
    found = manager.open_instances() if open_only else manager.instances()
    if as_json:
        typer.echo(_listed(found, indent=2))
    else:
        out().print(instances_table(manager, found))


def why(
    context: typer.Context,
    session: SessionArgument,
    task: Annotated[
        str,
        typer.Argument(
            help="The task's name, or one instance's: 't_task#0'.", autocompletion=complete_task
        ),
    ],
    storage: StorageOption = None,
) -> None:
    """Say why a task has not run: what it waits for, and why that has not come.

    Example: triggers why case-891 t_archive
    """
    print_finding(explain(task, facts_of(viewer_at(context.obj, storage, session))))


def watch(
    context: typer.Context,
    session: SessionArgument,
    storage: StorageOption = None,
    interval: IntervalOption = 1.0,
    until_settled: Annotated[
        bool, typer.Option("--until-settled", help="Stop when nothing runs any more.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, a line whenever something has changed.")
    ] = False,
) -> None:
    """Show a session, live, until it is told to stop (Ctrl-C).

    Example: triggers watch case-891
    """
    manager = viewer_at(context.obj, storage, session)
    told: list[TaskInstance] | None = None
    with (
        stopped_by_signals() as stop,
        nullcontext() if as_json else Live(console=out(), auto_refresh=False) as live,
    ):
        while not stop.is_set():
            found = manager.instances()
            if live is not None:
                live.update(instances_table(manager, found), refresh=True)
            elif found != told:
                typer.echo(_listed(found))
                told = found
            if until_settled and not any(instance.status in ACTIVE for instance in found):
                return
            stop.wait(interval)


def _listed(instances: list[TaskInstance], indent: int | None = None) -> str:
    return json.dumps([_as_json(each) for each in instances], indent=indent)


def _as_json(instance: TaskInstance) -> dict[str, Any]:
    values = {**vars(instance), "name": instance.name, "waits_for": sorted(instance.waits_for)}
    values["status"] = instance.status.value
    for moment in ("scheduled_at", "started_at", "ended_at"):
        values[moment] = getattr(instance, moment)
    return values
