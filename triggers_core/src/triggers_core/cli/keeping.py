"""Commands that keep a store in order: recover what is lost, delete what is over."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from triggers_core.cli.options import (
    SECONDS_A_DAY,
    IntervalOption,
    JsonOption,
    StorageOption,
    open_storage,
    storage_at,
)
from triggers_core.cli.terminal import (
    err,
    how_many,
    out,
    stopped_by_signals,
)
from triggers_core.recovery import DEFAULT_INTERVAL, Recovered, recover_once, run_forever
from triggers_core.rules.instance import ACTIVE, Status, TaskInstance
from triggers_core.storage.base import DEFAULT_ALIAS, SessionReader, Storage


def recover(
    context: typer.Context,
    storage: StorageOption = None,
    alias: Annotated[
        str, typer.Option(help="What messages to workers call the storage.")
    ] = DEFAULT_ALIAS,
    interval: IntervalOption = DEFAULT_INTERVAL,
    once: Annotated[bool, typer.Option("--once", help="Make one pass and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send again what lost its message, and take over what lost its worker.

    Runs until it is told to stop (Ctrl-C, SIGTERM); safe on any number of machines at once.

    Where instances go to Celery, --import the module with the application's Celery app.

    Examples:

        triggers --import shop.celery recover

        triggers recover --once
    """
    if as_json and not once:
        raise typer.BadParameter("it tells of one pass: say --once too", param_hint="--json")
    opened = open_storage(context.obj, storage, alias)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if not once:
        with stopped_by_signals() as stop:
            run_forever(opened, plugins=context.obj, interval=interval, stop=stop)
        return
    recovered = recover_once(opened, plugins=context.obj)
    if as_json:
        typer.echo(json.dumps(asdict(recovered), indent=2))
    else:
        _print_recovered(recovered)
    if recovered.errors:
        raise typer.Exit(1)


def _print_recovered(recovered: Recovered) -> None:
    if not recovered.count:
        typer.echo("nothing was lost")
        return
    table = Table("what", "session", "instance")
    for what, found in asdict(recovered).items():
        for session_uid, instance_name in found:
            table.add_row(what, escape(session_uid), escape(instance_name))
    out().print(table)


def gc(
    context: typer.Context,
    days: Annotated[float, typer.Option(help="Unchanged for this many days.", min=0.0)],
    storage: StorageOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Also those that still wait for triggers.")
    ] = False,
) -> None:
    """Delete the sessions in which all is over and nothing has changed of late.

    An instance that waits for triggers keeps its session, and so does a trigger that no task has
    taken, unless --waiting is given: choose the days then so that none can come any more. Sessions
    into which nothing was ever fired stay: nothing says how old they are.

    A failed instance keeps its session, unless somebody has marked it as resolved.

    A session that was cancelled or closed is over, whatever waited or has failed in it.

    Example: triggers gc --days 90 --dry-run
    """
    opened = (storage_at if dry_run else open_storage)(context.obj, storage)

    def is_old(reader: SessionReader) -> bool:
        instances, fired_at = reader.instances(), reader.last_fired_at()
        before = opened.now() - days * SECONDS_A_DAY
        closing = reader.closing()
        if closing is not None:
            return closing.at < before and all(
                each.status not in ACTIVE and each.changed_at < before for each in instances
            )
        if not instances and (fired_at is None or not waiting):
            return False
        return (fired_at or 0.0) < before and all(
            _is_over(each, waiting) and each.changed_at < before for each in instances
        )

    found = 0
    console = err()
    for session_uid, manager_name in track(
        list(opened.sessions()),
        description="looking at sessions",
        console=console,
        disable=not console.is_terminal,
    ):
        with opened.read(session_uid) as reader:
            is_found = is_old(reader)
        if is_found and dry_run:
            typer.echo(session_uid)
        elif is_found:
            is_found = _delete_if(is_old, opened, session_uid, manager_name)
        found += is_found
    typer.echo(f"{how_many(found, 'session')} {'would be deleted' if dry_run else 'deleted'}")


def _delete_if(
    is_old: Callable[[SessionReader], bool],
    storage: Storage,
    session_uid: str,
    manager_name: str,
) -> bool:
    """Look once more, in the transaction: a trigger may have come in the meantime. Or another has
    deleted the session, and this transaction has made it anew."""
    with storage.transaction(session_uid, manager_name) as unit:
        is_to_go = is_old(unit)
        is_new = not (unit.instances() or unit.configuration() or unit.closing())
        if is_to_go or is_new:
            unit.delete()
    return is_to_go


def _is_over(instance: TaskInstance, waiting_counts: bool) -> bool:
    if instance.status is Status.UNSTARTED:
        return waiting_counts
    if instance.status is Status.FAILED:
        return instance.is_resolved
    return instance.status not in ACTIVE
