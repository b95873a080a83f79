"""Commands that act on one session: fire a trigger, mend an instance, end it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from triggers_core.cli.options import (
    ByOption,
    EndByOption,
    EndReasonOption,
    InstanceArgument,
    JsonOption,
    KwargsOption,
    ReasonOption,
    SessionArgument,
    StorageOption,
    manager_at,
    parsed,
)
from triggers_core.cli.terminal import fail, notices_shown, plain
from triggers_core.engine.dispatch import select_runner
from triggers_core.engine.outcome import ClosingOutcome
from triggers_core.insight.notes import followed_by
from triggers_core.manager import TriggerManager
from triggers_core.rules import join
from triggers_core.rules.conditions import Taken


def fire(
    context: typer.Context,
    session: SessionArgument,
    trigger: Annotated[str, typer.Argument(help="The trigger's name.")],
    storage: StorageOption = None,
    kwargs: KwargsOption = "{}",
    event_id: Annotated[str | None, typer.Option(help="Idempotency key.")] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Though a task cannot be started from here.")
    ] = False,
) -> None:
    """Fire a trigger into a session.

    Where it may start tasks that this process cannot send to their runner, nothing is recorded:
    --import the application's module, as the application's own processes do.

    Examples:

        triggers fire case-891 fee_paid --kwargs '{"euros": 40}'

        triggers --import shop.celery fire case-891 fee_paid --event-id mail-7
    """
    manager = manager_at(context.obj, storage, session)
    fired = parsed("--kwargs", kwargs)
    if not anyway:
        _check_can_start(manager, trigger)
    with notices_shown():
        outcome = manager.fire(trigger, fired, event_id=event_id)
    typer.echo(json.dumps(outcome.to_dict(), indent=2))


def _check_can_start(manager: TriggerManager, trigger: str) -> None:
    """Exit with an error if a task that names the trigger cannot be started from here."""
    configuration = manager.configuration()
    for task in configuration.tasks_with(trigger):
        instance = join.make(
            manager.session_uid,
            task,
            configuration.digest,
            0,
            Taken({}, {}),
            at=manager.storage.now(),
        )
        try:
            runner: Any = select_runner(manager, instance)
            runner.resolve(manager, instance)
        except (Exception, SystemExit) as error:  # whatever a module raises while it is imported
            fail(
                f"nothing was recorded: task {task.name!r} cannot be started from here "
                f"({error}); --import the application's module, or record it --anyway, and let "
                "`triggers recover` send it where the application is"
            )


def replay(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    storage: StorageOption = None,
    kwargs: Annotated[
        str, typer.Option(help="Trigger name → kwargs to replace, as a JSON object.")
    ] = "{}",
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge --kwargs over what it took, key by key.")
    ] = False,
    reason: ReasonOption = None,
    by: ByOption = None,
) -> None:
    """Run a failed instance again.

    Examples:

        triggers replay case-891 't_close#0'

        triggers replay case-891 't_close#0' --kwargs '{"fee_paid": {"euros": 40}}'
    """
    manager = manager_at(context.obj, storage, session)
    clone = manager.replay_failed_instance(
        instance, parsed("--kwargs", kwargs), merge=merge, reason=reason, by=by
    )
    typer.echo(f"{instance} is replayed as {clone.name}")
    followed = followed_by(manager.instance(instance))
    if followed:
        typer.echo(f"when it failed, {followed}: that stands")


def skip(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    storage: StorageOption = None,
    result: Annotated[
        str | None, typer.Option(help="Cascade, with this JSON object as the task's result.")
    ] = None,
    reason: ReasonOption = None,
    by: ByOption = None,
) -> None:
    """Give up a failed instance; with --result, go on as if it had finished.

    Example: triggers skip case-891 't_close#0' --result '{}' --by Ada
    """
    manager = manager_at(context.obj, storage, session)
    manager.skip_failed_instance(
        instance,
        cascade=result is not None,
        result=None if result is None else parsed("--result", result),
        reason=reason,
        by=by,
    )
    typer.echo(f"{instance} is skipped")


def abandon(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    reason: Annotated[
        str, typer.Option(help="Why, in a line: it is kept with the instance. Needed.")
    ],
    storage: StorageOption = None,
    by: ByOption = None,
) -> None:
    """Give up an instance that has not begun: it waits, or is scheduled. Nothing follows from it.

    Example: triggers abandon case-891 't_close#0' --reason 'applied twice'
    """
    manager_at(context.obj, storage, session).abandon_instance(instance, reason=reason, by=by)
    typer.echo(f"{instance} is abandoned")


def resolve(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    storage: StorageOption = None,
    reason: ReasonOption = None,
    by: ByOption = None,
) -> None:
    """Note that somebody has dealt with an instance's error or warnings; its status stays.

    Example: triggers resolve case-891 't_close#0' --reason 'known outage'
    """
    manager = manager_at(context.obj, storage, session)
    manager.mark_instance_logs_resolved(instance, reason=reason, by=by)
    typer.echo(f"{instance} is resolved")


def reconfigure(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    storage: StorageOption = None,
) -> None:
    """Take an instance that waits over to its task's present directives. It keeps what it took.

    All that wait at once: triggers configure --session case-891 --update-instances

    Example: triggers reconfigure case-891 't_close#0'
    """
    manager = manager_at(context.obj, storage, session)
    updated = manager.update_instance_configuration(instance)
    waits_for = ", ".join(sorted(updated.waits_for))
    typer.echo(f"{instance} is {updated.status}{waits_for and f', and waits for {waits_for}'}")


def cancel(
    context: typer.Context,
    session: SessionArgument,
    storage: StorageOption = None,
    reason: EndReasonOption = None,
    by: EndByOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a session, whatever was still to come: what has not begun is given up. For good.

    What runs is not stopped; it may ask, its end is recorded, and nothing follows from it.

    Example: triggers cancel case-891 --reason 'the plans were withdrawn' --by Ada
    """
    manager = manager_at(context.obj, storage, session)
    _print_end(session, manager.cancel(reason=reason, by=by), as_json=as_json)


def close(
    context: typer.Context,
    session: SessionArgument,
    storage: StorageOption = None,
    reason: EndReasonOption = None,
    by: EndByOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a session that is done. Refused while anything is scheduled or runs. For good.

    Example: triggers close case-891 --by Ada
    """
    manager = manager_at(context.obj, storage, session)
    _print_end(session, manager.close(reason=reason, by=by), as_json=as_json)


def _print_end(session: str, outcome: ClosingOutcome, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(outcome.to_dict(), indent=2))
        return
    was = "is" if outcome.is_change else "was before"
    typer.echo(plain(f"{session} {was} {outcome.closing}"))
    for what, names in (("abandoned", outcome.abandoned), ("still running", outcome.running)):
        if names:
            typer.echo(f"{what}: {', '.join(names)}")
