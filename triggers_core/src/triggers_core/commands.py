"""The commands of ``triggers``, and those that plugins add to them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from enum import Enum
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table
from typer.core import TyperGroup

from triggers_core.config import Configuration
from triggers_core.diagnosis import explain
from triggers_core.errors import StorageNotFound, TriggersError
from triggers_core.graph import to_dot, to_mermaid
from triggers_core.instance import ACTIVE, Status, TaskInstance
from triggers_core.lint import lint
from triggers_core.manager import TriggerManager
from triggers_core.names import did_you_mean
from triggers_core.plugins import STORAGE_VARIABLE, Plugins, default_plugins
from triggers_core.recovery import DEFAULT_INTERVAL, recover_once, run_forever
from triggers_core.storage.base import DEFAULT_ALIAS, SessionReader, Storage
from triggers_core.terminal import (
    RECORDED_BUT_NOT_SENT,
    as_svg,
    clear_errors,
    coloured_counts,
    err,
    how_many,
    instances_table,
    out,
    print_finding,
    stopped_by_signals,
    warn,
)
from triggers_core.viewing import facts_of, manager_of, viewer_of

DEFAULT_SESSIONS = 50
"""Lines of ``triggers sessions``."""
MOST_COMPLETIONS = 100
SECONDS_A_DAY = 86_400
IMPORT_VARIABLE = "TRIGGERS_IMPORT"
EPILOG = f"""
Example: triggers why case-891 t_archive --storage sqlite:///triggers.db

Exit codes: 0 done; 1 an error, or something to complain of; 2 called wrongly;
{RECORDED_BUT_NOT_SENT} recorded, but not sent to a runner: do not repeat it, `recover` sends it.
"""


def _complete_session(context: typer.Context, incomplete: str) -> list[str]:
    return _completions(context, lambda storage: (uid for uid, _ in storage.sessions()), incomplete)


def _complete_task(context: typer.Context, incomplete: str) -> list[str]:
    def names(storage: Storage) -> Iterator[str]:
        with storage.read(context.params["session"]) as reader:
            yield from reader.configuration()

    return _completions(context, names, incomplete)


def _complete_instance(context: typer.Context, incomplete: str) -> list[str]:
    def names(storage: Storage) -> Iterator[str]:
        with storage.read(context.params["session"]) as reader:
            yield from (instance.name for instance in reader.instances())

    return _completions(context, names, incomplete)


def _completions(
    context: typer.Context, names: Callable[[Storage], Iterable[str]], incomplete: str
) -> list[str]:
    url = context.params.get("storage") or os.environ.get(STORAGE_VARIABLE)
    if not url:
        return []
    found = []
    try:
        for name in names(default_plugins().open_storage(url)):
            if name.startswith(incomplete):
                found.append(name)
            if len(found) == MOST_COMPLETIONS:
                break
    except TriggersError:
        return []
    return found


StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        help=f"Where sessions are: sqlite:///triggers.db, … Else ${STORAGE_VARIABLE} says it.",
    ),
]
SessionArgument = Annotated[
    str, typer.Argument(help="The session's uid.", autocompletion=_complete_session)
]
InstanceArgument = Annotated[
    str,
    typer.Argument(help="The instance's name: 't_task#0'.", autocompletion=_complete_instance),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KwargsOption = Annotated[str, typer.Option(help="Kwargs, as a JSON object.")]
ConfigurationArgument = Annotated[
    Path, typer.Argument(help="A JSON file: task name → directives.", exists=True, dir_okay=False)
]


class Picture(str, Enum):
    """What a graph is written as."""

    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


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
        for module in modules or ():
            _import(module)

    for command in (
        runners,
        plugins_,
        check,
        graph,
        sessions,
        show,
        why,
        fire,
        replay,
        skip,
        recover,
        watch,
        gc,
    ):
        cli.command(command.__name__.rstrip("_"))(command)
    plugins.hook.triggers_register_commands(cli=cli)
    return cli


def runners(context: typer.Context) -> None:
    """List the installed task runners, a broken one with the reason.

    Example: triggers runners
    """
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


def check(context: typer.Context, configuration: ConfigurationArgument) -> None:
    """Check a configuration file; exit with 1 if it is wrong, or likely to be.

    Example: triggers check permits.json
    """
    parsed = _configuration(context.obj, configuration)
    warnings = lint(
        parsed, known_runners=context.obj.runners.names(), default_runner=_default(context.obj)
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
        typer.Option(help="This session's, by state.", autocompletion=_complete_session),
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
        text = draw(_configuration(context.obj, configuration))
    else:
        facts = facts_of(_viewer(context.obj, storage, str(session)))
        text = draw(facts.configuration, facts.instances, fired=facts.fired)
    typer.echo(as_svg(text) if form is Picture.SVG else text, nl=False)


def sessions(
    context: typer.Context,
    storage: StorageOption = None,
    status: Annotated[
        list[Status] | None, typer.Option(help="Only those with an instance that stands so.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Lines at most.", min=1)] = DEFAULT_SESSIONS,
) -> None:
    """List sessions, oldest first, with how many instances stand where.

    Example: triggers sessions --status failed
    """
    opened = open_storage(context.obj, storage)
    table = Table(Column("session", overflow="fold"), "manager", "instances")
    for session_uid, manager_name in opened.sessions():
        with opened.read(session_uid) as reader:
            if status and not reader.instances(statuses=status):
                continue
            found = reader.instances()
        if table.row_count == limit:
            table.caption = f"the first {limit}; --limit shows more"
            break
        table.add_row(escape(session_uid), escape(manager_name), coloured_counts(found))
    out().print(table)


def show(
    context: typer.Context,
    session: SessionArgument,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a session's instances: status, what each waits for, since when, attempts.

    Example: triggers show case-891 --storage sqlite:///triggers.db
    """
    manager = _viewer(context.obj, storage, session)
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in manager.instances()], indent=2))
    else:
        out().print(instances_table(manager, manager.instances()))


def why(
    context: typer.Context,
    session: SessionArgument,
    task: Annotated[
        str,
        typer.Argument(
            help="The task's name, or one instance's: 't_task#0'.", autocompletion=_complete_task
        ),
    ],
    storage: StorageOption = None,
) -> None:
    """Say why a task has not run: what it waits for, and why that has not come.

    Example: triggers why case-891 t_archive
    """
    print_finding(explain(task, facts_of(_viewer(context.obj, storage, session))))


def fire(
    context: typer.Context,
    session: SessionArgument,
    trigger: Annotated[str, typer.Argument(help="The trigger's name.")],
    storage: StorageOption = None,
    kwargs: KwargsOption = "{}",
    event_id: Annotated[str | None, typer.Option(help="Idempotency key.")] = None,
) -> None:
    """Fire a trigger into a session.

    Example: triggers fire case-891 fee_paid --kwargs '{"euros": 40}'
    """
    manager = _manager(context.obj, storage, session)
    configuration = manager.configuration()
    outcome = manager.fire(trigger, _parsed("--kwargs", kwargs), event_id=event_id)
    typer.echo(json.dumps(outcome.to_dict(), indent=2))
    if not configuration.tasks_with(trigger):
        known = {name for task in configuration.values() for name in task.triggers}
        advice = did_you_mean(trigger, known)
        warn(f"it is recorded, but no task waits for {trigger!r}{advice and f'; {advice}'}")


def replay(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    storage: StorageOption = None,
    kwargs: Annotated[
        str, typer.Option(help="Trigger name → kwargs to replace, as a JSON object.")
    ] = "{}",
) -> None:
    """Run a failed instance again.

    Examples:

        triggers replay case-891 't_close#0'

        triggers replay case-891 't_close#0' --kwargs '{"fee_paid": {"euros": 40}}'
    """
    manager = _manager(context.obj, storage, session)
    clone = manager.replay_failed_instance(instance, _parsed("--kwargs", kwargs))
    typer.echo(f"{instance} is replayed as {clone.name}")


def skip(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    storage: StorageOption = None,
    result: Annotated[
        str | None, typer.Option(help="Cascade, with this JSON object as the task's result.")
    ] = None,
) -> None:
    """Give up a failed instance; with --result, go on as if it had finished.

    Example: triggers skip case-891 't_close#0' --result '{}'
    """
    manager = _manager(context.obj, storage, session)
    manager.skip_failed_instance(
        instance,
        cascade=result is not None,
        result=None if result is None else _parsed("--result", result),
    )
    typer.echo(f"{instance} is skipped")


def recover(
    context: typer.Context,
    storage: StorageOption = None,
    alias: Annotated[
        str, typer.Option(help="What messages to workers call the storage.")
    ] = DEFAULT_ALIAS,
    interval: Annotated[
        float, typer.Option(help="Seconds between two passes.", min=0.1)
    ] = DEFAULT_INTERVAL,
    once: Annotated[bool, typer.Option("--once", help="Make one pass and stop.")] = False,
) -> None:
    """Send again what lost its message, and take over what lost its worker.

    Runs until it is told to stop (Ctrl-C, SIGTERM); safe on any number of machines at once.

    Where instances go to Celery, --import the module with the application's Celery app.

    Examples:

        triggers --import shop.celery recover

        triggers recover --once
    """
    opened = open_storage(context.obj, storage, alias)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if not once:
        with stopped_by_signals() as stop:
            run_forever(opened, plugins=context.obj, interval=interval, stop=stop)
        return
    recovered = recover_once(opened, plugins=context.obj)
    if not recovered.count:
        typer.echo("nothing was lost")
        return
    table = Table("what", "session", "instance")
    for what, found in asdict(recovered).items():
        for session_uid, instance_name in found:
            table.add_row(what, escape(session_uid), escape(instance_name))
    out().print(table)
    if recovered.errors:
        raise typer.Exit(1)


def watch(
    context: typer.Context,
    session: SessionArgument,
    storage: StorageOption = None,
    interval: Annotated[float, typer.Option(help="Seconds between looks.", min=0.1)] = 1.0,
    until_settled: Annotated[
        bool, typer.Option("--until-settled", help="Stop when nothing runs any more.")
    ] = False,
) -> None:
    """Show a session, live, until it is told to stop (Ctrl-C).

    Example: triggers watch case-891
    """
    manager = _viewer(context.obj, storage, session)
    with stopped_by_signals() as stop, Live(console=out(), auto_refresh=False) as live:
        while not stop.is_set():
            found = manager.instances()
            live.update(instances_table(manager, found), refresh=True)
            if until_settled and not any(instance.status in ACTIVE for instance in found):
                return
            stop.wait(interval)


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

    An instance that waits for triggers keeps its session, unless --waiting is given: choose the
    days then so that none can come any more.

    A failed instance keeps its session, unless somebody has marked it as resolved.

    Example: triggers gc --days 90 --dry-run
    """
    opened = open_storage(context.obj, storage)

    def is_old(reader: SessionReader) -> bool:
        instances = reader.instances()
        before = opened.now() - days * SECONDS_A_DAY
        return (
            bool(instances)
            and (reader.last_fired_at() or 0.0) < before
            and all(_is_over(each, waiting) and each.changed_at < before for each in instances)
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


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"triggers-core {metadata.version('triggers-core')}")
        raise typer.Exit


def _import(module: str) -> None:
    try:
        import_module(module)
    except Exception as error:
        raise typer.BadParameter(
            f"{module} cannot be imported: {type(error).__name__}: {error}",
            param_hint="--import",
        ) from error


def open_storage(plugins: Plugins, url: str | None, alias: str = DEFAULT_ALIAS) -> Storage:
    """Return the storage at the URL, else the one that the application or the environment names.

    For a command with a :data:`StorageOption`, a plugin's too.

    Raises:
        typer.BadParameter: no storage is named.
        TriggersError: the one that is named cannot be had.
    """
    if url is not None:
        opened = plugins.open_storage(url, alias=alias)
        plugins.add_storage(opened)
        return opened
    try:
        return plugins.storage(alias)
    except StorageNotFound as error:
        if os.environ.get(STORAGE_VARIABLE) and alias == DEFAULT_ALIAS:
            raise
        raise typer.BadParameter(
            f"name one by its URL, as in --storage sqlite:///triggers.db; or for {DEFAULT_ALIAS!r} "
            f"set {STORAGE_VARIABLE} to that URL; or --import the module that adds {alias!r}",
            param_hint="--storage",
        ) from error


def _manager(plugins: Plugins, url: str | None, session_uid: str) -> TriggerManager:
    return manager_of(plugins, open_storage(plugins, url), session_uid)


def _viewer(plugins: Plugins, url: str | None, session_uid: str) -> TriggerManager:
    return viewer_of(plugins, open_storage(plugins, url), session_uid)


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
        if is_to_go or not (unit.instances() or unit.configuration()):
            unit.delete()
    return is_to_go


def _is_over(instance: TaskInstance, waiting_counts: bool) -> bool:
    if instance.status is Status.UNSTARTED:
        return waiting_counts
    if instance.status is Status.FAILED:
        return instance.is_resolved
    return instance.status not in ACTIVE


def _default(plugins: Plugins) -> str | None:
    """Return the runner of tasks that name none; None where a plugin chooses."""
    chooses = plugins.has_hook("triggers_select_runner")
    return None if chooses else TriggerManager.default_task_runner_name


def _configuration(plugins: Plugins, path: Path) -> Configuration:
    return Configuration.parse(_parsed(str(path), path.read_bytes()), plugins.validate_directive)


def _parsed(where: str, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"expected JSON: {error}", param_hint=where) from error


def _as_json(instance: TaskInstance) -> dict[str, Any]:
    values = {**vars(instance), "name": instance.name, "waits_for": sorted(instance.waits_for)}
    values["status"] = instance.status.value
    return values
