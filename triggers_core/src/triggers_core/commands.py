"""The commands of ``triggers``, and those that plugins add to them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table
from rich.tree import Tree

from triggers_core.config import Configuration
from triggers_core.diagnosis import Finding, explain
from triggers_core.errors import DispatchError, InstanceNotFound, TriggersError
from triggers_core.graph import to_dot, to_mermaid
from triggers_core.instance import ACTIVE, Status, TaskInstance
from triggers_core.lint import lint
from triggers_core.manager import TriggerManager
from triggers_core.plugins import STORAGE_VARIABLE, Plugins, default_plugins
from triggers_core.recovery import DEFAULT_INTERVAL, recover_once, run_forever
from triggers_core.storage.base import DEFAULT_ALIAS, Storage

STYLES = {
    Status.UNSTARTED: "dim",
    Status.SCHEDULED: "blue",
    Status.RUNNING: "bold blue",
    Status.FINISHED: "green",
    Status.FAILED: "bold red",
    Status.ABANDONED: "dim",
    Status.REPLAYED: "yellow",
    Status.SKIPPED: "magenta",
}
DEFAULT_SESSIONS = 50
"""Lines of ``triggers sessions``."""
SECONDS_A_DAY = 86_400

StorageOption = Annotated[
    str, typer.Option("--storage", envvar=STORAGE_VARIABLE, help="URL: sqlite:///triggers.db, …")
]
SessionArgument = Annotated[str, typer.Argument(help="The session's uid.")]
InstanceArgument = Annotated[str, typer.Argument(help="The instance's name: 't_task#0'.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KwargsOption = Annotated[str, typer.Option(help="Kwargs, as a JSON object.")]
ConfigurationArgument = Annotated[
    Path, typer.Argument(help="A JSON file: task name → directives.", exists=True, dir_okay=False)
]

_out = Console()
_err = Console(stderr=True)


class Picture(str, Enum):
    """What a graph is written as."""

    MERMAID = "mermaid"
    DOT = "dot"


def build(plugins: Plugins | None = None) -> typer.Typer:
    """Return the command line: the core's commands, then each plugin's own."""
    plugins = plugins or default_plugins()
    cli = typer.Typer(
        help="Run this task once these things have all happened.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )

    @cli.callback()
    def _hand_over(context: typer.Context) -> None:
        context.obj = plugins

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
    """List the installed task runners, a broken one with the reason."""
    table = Table("name", "distribution", "version", "state")
    for line in context.obj.runners.listing():
        state = "[green]ready[/]" if line.problem is None else f"[red]{escape(line.problem)}[/]"
        table.add_row(line.name, line.distribution, line.version, state)
    _out.print(table)


def plugins_(context: typer.Context) -> None:
    """List the registered hook plugins."""
    table = Table("name", "hooks")
    for name, hooks in context.obj.plugin_hooks().items():
        table.add_row(name, ", ".join(hooks))
    _out.print(table)


def check(context: typer.Context, configuration: ConfigurationArgument) -> None:
    """Check a configuration file; exit with 1 if it is wrong, or likely to be.

    Example: triggers check permits.json
    """
    parsed = _configuration(context.obj, configuration)
    warnings = lint(parsed, known_runners=context.obj.runners.names())
    for warning in warnings:
        _out.print(f"[yellow]warning[/] {escape(warning)}")
    if warnings:
        raise typer.Exit(1)
    _out.print(f"[green]{len(parsed)} tasks, nothing to complain of[/]")


def graph(
    context: typer.Context,
    configuration: Annotated[
        Path | None, typer.Argument(help="A JSON file.", exists=True, dir_okay=False)
    ] = None,
    session: Annotated[str | None, typer.Option(help="This session's, by state.")] = None,
    storage: Annotated[str | None, typer.Option(envvar=STORAGE_VARIABLE, help="URL.")] = None,
    form: Annotated[Picture, typer.Option("--format", help="The output.")] = Picture.MERMAID,
) -> None:
    """Draw a configuration, or a session coloured by state, as Mermaid or Graphviz text.

    Examples:

        triggers graph permits.json

        triggers graph --session case-891 --format dot | dot -Tsvg > case-891.svg
    """
    if (configuration is None) == (session is None):
        raise typer.BadParameter("name a configuration file or a --session, one of the two")
    draw = to_mermaid if form is Picture.MERMAID else to_dot
    if configuration is not None:
        typer.echo(draw(_configuration(context.obj, configuration)), nl=False)
        return
    if storage is None:
        raise typer.BadParameter(f"a session needs --storage, or {STORAGE_VARIABLE}")
    manager = _manager(context.obj, storage, str(session))
    typer.echo(draw(manager.configuration(), manager.instances()), nl=False)


def sessions(
    context: typer.Context,
    storage: StorageOption,
    limit: Annotated[int, typer.Option(help="Lines at most.", min=1)] = DEFAULT_SESSIONS,
) -> None:
    """List sessions, oldest first, with how many instances stand where."""
    opened = _storage(context.obj, storage)
    table = Table(Column("session", overflow="fold"), "manager", "instances")
    for count, (session_uid, manager_name) in enumerate(opened.sessions()):
        if count == limit:
            table.caption = f"the first {limit}; --limit shows more"
            break
        with opened.read(session_uid) as reader:
            table.add_row(escape(session_uid), manager_name, _counts(reader.instances()))
    _out.print(table)


def show(
    context: typer.Context,
    session: SessionArgument,
    storage: StorageOption,
    as_json: JsonOption = False,
) -> None:
    """Show a session's instances: status, what each waits for, since when, attempts.

    Example: triggers show case-891 --storage sqlite:///triggers.db
    """
    manager = _manager(context.obj, storage, session)
    found = manager.instances()
    if as_json:
        typer.echo(json.dumps([_as_json(instance) for instance in found], indent=2))
    else:
        _out.print(_instances_table(manager, found))


def why(
    context: typer.Context,
    session: SessionArgument,
    task: Annotated[str, typer.Argument(help="The task's name.")],
    storage: StorageOption,
) -> None:
    """Say why a task has not run: what it waits for, and why that has not come.

    Example: triggers why case-891 t_archive --storage sqlite:///triggers.db
    """
    manager = _manager(context.obj, storage, session)
    with _clear_errors():
        finding = explain(
            task, manager.configuration(), manager.instances(), now=manager.storage.now()
        )
    _out.print(_tree(finding))


def fire(
    context: typer.Context,
    session: SessionArgument,
    trigger: Annotated[str, typer.Argument(help="The trigger's name.")],
    storage: StorageOption,
    kwargs: KwargsOption = "{}",
    event_id: Annotated[str | None, typer.Option(help="Idempotency key.")] = None,
) -> None:
    """Fire a trigger into a session.

    Example: triggers fire case-891 permit_received --kwargs '{"at": "2026-01-31"}'
    """
    manager = _manager(context.obj, storage, session, must_exist=False)
    with _clear_errors():
        outcome = manager.fire(trigger, _parsed(kwargs), event_id=event_id)
    typer.echo(json.dumps(outcome.to_dict(), indent=2))


def replay(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    storage: StorageOption,
    kwargs: Annotated[
        str, typer.Option(help="Trigger name → kwargs to replace, as a JSON object.")
    ] = "{}",
) -> None:
    """Run a failed instance again.

    Example: triggers replay case-891 't_close#0'
    """
    manager = _manager(context.obj, storage, session)
    with _clear_errors():
        clone = manager.replay_failed_instance(instance, _parsed(kwargs))
    typer.echo(f"{instance} is replayed as {clone.name}")


def skip(
    context: typer.Context,
    session: SessionArgument,
    instance: InstanceArgument,
    storage: StorageOption,
    result: Annotated[
        str | None, typer.Option(help="Cascade, with this JSON object as the task's result.")
    ] = None,
) -> None:
    """Give up a failed instance; with --result, go on as if it had finished.

    Example: triggers skip case-891 't_close#0' --result '{}'
    """
    manager = _manager(context.obj, storage, session)
    with _clear_errors():
        manager.skip_failed_instance(
            instance,
            cascade=result is not None,
            result=None if result is None else _parsed(result),
        )
    typer.echo(f"{instance} is skipped")


def recover(
    context: typer.Context,
    storage: StorageOption,
    alias: Annotated[
        str, typer.Option(help="What messages to workers call the storage.")
    ] = DEFAULT_ALIAS,
    interval: Annotated[
        float, typer.Option(help="Seconds between two passes.", min=0.1)
    ] = DEFAULT_INTERVAL,
    once: Annotated[bool, typer.Option("--once", help="Make one pass and stop.")] = False,
) -> None:
    """Send again what lost its message, and take over what lost its worker.

    Runs until it is stopped; safe on any number of machines at once.
    """
    opened = _storage(context.obj, storage, alias)
    if not once:
        run_forever(opened, plugins=context.obj, interval=interval)
    with _clear_errors():
        recovered = recover_once(opened, plugins=context.obj)
    table = Table("what", "session", "instance")
    for what, found in asdict(recovered).items():
        for session_uid, instance_name in found:
            table.add_row(what, escape(session_uid), instance_name)
    _out.print(table)
    if recovered.errors:
        raise typer.Exit(1)


def watch(
    context: typer.Context,
    session: SessionArgument,
    storage: StorageOption,
    interval: Annotated[float, typer.Option(help="Seconds between looks.", min=0.1)] = 1.0,
    until_settled: Annotated[
        bool, typer.Option("--until-settled", help="Stop when nothing runs any more.")
    ] = False,
) -> None:
    """Show a session, live."""
    manager = _manager(context.obj, storage, session)
    with Live(console=_out, auto_refresh=False) as live:
        while True:
            found = manager.instances()
            live.update(_instances_table(manager, found), refresh=True)
            if until_settled and not any(instance.status in ACTIVE for instance in found):
                return
            time.sleep(interval)


def gc(
    context: typer.Context,
    storage: StorageOption,
    days: Annotated[float, typer.Option(help="Unchanged for this many days.", min=0.0)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
) -> None:
    """Delete the sessions in which nothing is under way, failed or changed of late.

    A session that waits for triggers which never come counts: choose the days so that none
    can come any more.

    Example: triggers gc --days 90 --storage sqlite:///triggers.db
    """
    opened = _storage(context.obj, storage)
    deleted = 0
    with _clear_errors():
        for session_uid, manager_name in track(
            list(opened.sessions()), description="looking at sessions", console=_err
        ):
            with opened.read(session_uid) as reader:
                is_old = _is_over(reader.instances(), opened.now() - days * SECONDS_A_DAY)
            if is_old and dry_run:
                typer.echo(session_uid)
            elif is_old:
                deleted += _delete_if_over(opened, session_uid, manager_name, days)
    typer.echo(f"{deleted} sessions deleted")


class _clear_errors:  # noqa: N801 - reads as the statement that it is
    """Turn an error of ours into one line and exit code 1; 3 when a change is recorded."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, TriggersError):
            _err.print(f"[red]error[/] {escape(str(error))}", soft_wrap=True)
            code = RECORDED_BUT_NOT_SENT if isinstance(error, DispatchError) else 1
            raise typer.Exit(code) from error


RECORDED_BUT_NOT_SENT = 3
"""The exit code after a DispatchError: do not do it again."""


def _storage(plugins: Plugins, url: str, alias: str = DEFAULT_ALIAS) -> Storage:
    with _clear_errors():
        opened = plugins.open_storage(url, alias=alias)
        plugins.add_storage(opened)
    return opened


def _manager(
    plugins: Plugins, url: str, session_uid: str, *, must_exist: bool = True
) -> TriggerManager:
    """Return the session's own manager, of the class that it was made with."""
    opened = _storage(plugins, url)
    with _clear_errors():
        with opened.read(session_uid) as reader:
            manager_name = reader.manager_name()
        if manager_name is None and must_exist:
            raise InstanceNotFound(f"the store has no session {session_uid!r}")
        manager_class = plugins.managers.load(manager_name or TriggerManager.name)
        return manager_class(session_uid, storage=opened, plugins=plugins)


def _delete_if_over(storage: Storage, session_uid: str, manager_name: str, days: float) -> bool:
    """Look once more, in the transaction: a trigger may have come in the meantime."""
    with storage.transaction(session_uid, manager_name) as unit:
        is_over = _is_over(unit.instances(), storage.now() - days * SECONDS_A_DAY)
        if is_over:
            unit.delete()
    return is_over


def _is_over(instances: list[TaskInstance], before: float) -> bool:
    return bool(instances) and all(
        instance.status not in ACTIVE | {Status.FAILED} and instance.changed_at < before
        for instance in instances
    )


def _configuration(plugins: Plugins, path: Path) -> Configuration:
    with _clear_errors():
        return Configuration.parse(_parsed(path.read_text("utf-8")), plugins.validate_directive)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"expected JSON: {error}") from error


def _instances_table(manager: TriggerManager, instances: list[TaskInstance]) -> Table:
    table = Table("instance", "status", "waits for", "since (UTC)", "attempt", "note")
    table.title = f"session {escape(manager.session_uid)}"
    for instance in instances:
        error = instance.metadata.get("error")
        table.add_row(
            instance.name,
            f"[{STYLES[instance.status]}]{instance.status}[/]",
            escape(", ".join(sorted(instance.waits_for))),
            datetime.fromtimestamp(instance.changed_at, timezone.utc).strftime("%F %T"),
            str(instance.attempt),
            escape(f"{error['type']}: {error['message']}") if error else "",
        )
    return table


def _as_json(instance: TaskInstance) -> dict[str, Any]:
    values = {**vars(instance), "name": instance.name, "waits_for": sorted(instance.waits_for)}
    values["status"] = instance.status.value
    return values


def _counts(instances: list[TaskInstance]) -> str:
    statuses = [instance.status for instance in instances]
    return ", ".join(
        f"[{STYLES[status]}]{statuses.count(status)} {status}[/]"
        for status in Status
        if status in statuses
    )


def _tree(finding: Finding, tree: Tree | None = None) -> Tree:
    text = escape(finding.text)
    branch = Tree(text) if tree is None else tree.add(text)
    for because in finding.because:
        _tree(because, branch)
    return branch
