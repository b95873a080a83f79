"""How the command line shows things: tables and trees, errors in one line, signals."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from triggers_core.engine import notices
from triggers_core.errors import DispatchError, TriggersError
from triggers_core.insight.diagnosis import Finding
from triggers_core.insight.notes import closed_at, moment, note, queued_for, ran_for, span
from triggers_core.insight.wording import waits_of
from triggers_core.manager import TriggerManager
from triggers_core.rules.instance import Status, TaskInstance, counted

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
UNBOUNDED_WIDTH = 100_000
"""Characters of a line that goes to no terminal: a program reads it, and it stays whole."""
RECORDED_BUT_NOT_SENT = 3
"""The exit code after a DispatchError: do not do it again."""


def out() -> Console:
    """Return the console on standard output."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console on standard error."""
    return _console(stderr=True)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    err().print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


def fail(text: str, code: int = 1) -> NoReturn:
    """Print an error on standard error, and exit with the code."""
    err().print(f"[red]error:[/] {escape(plain(text))}", soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn an error of ours, or of the disk and the like, into one line and an exit code."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read the output has seen enough; typer ends quietly
    except OSError as error:
        fail(str(error))
    except TriggersError as error:
        fail(str(error), RECORDED_BUT_NOT_SENT if isinstance(error, DispatchError) else 1)


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage())


@contextmanager
def notices_shown() -> Iterator[None]:
    """Print what the engine says of likely mistakes, as warnings of the command."""
    logger, handler = logging.getLogger(notices.__name__), _Notices()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C or a service manager's SIGTERM sets, so that both end well."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def instances_table(manager: TriggerManager, instances: Sequence[TaskInstance]) -> Table:
    """Return the session's instances as a table, the tasks without one below it."""
    now = manager.storage.now()
    # As narrow as can be: how long things took only where something has begun.
    are_timed = any(instance.scheduled_at for instance in instances)
    lengths = ("queued", "ran") if are_timed else ()
    table = Table("instance", "status", "waits for", "since (UTC)", *lengths, "attempt", "note")
    table.title_justify = table.caption_justify = "left"
    closing = manager.closing()
    over = "" if closing is None else f", {closed_at(closing, now)}"
    table.title = escape(plain(f"session {manager.session_uid}{over}"))
    for instance in instances:
        table.add_row(
            escape(instance.name),
            f"[{STYLES[instance.status]}]{instance.status}[/]",
            escape(_waits_for(manager, instance)),
            f"{moment(instance.changed_at)} ({span(now - instance.changed_at)})",
            *((queued_for(instance, now), ran_for(instance, now)) if are_timed else ()),
            str(instance.attempt),
            escape(plain(note(instance, now))),
        )
    begun = {instance.task_name for instance in instances}
    not_begun = [name for name in manager.configuration() if name not in begun]
    if not_begun:
        table.caption = f"not begun: {escape(', '.join(not_begun))}"
    return table


def coloured_counts(instances: Sequence[TaskInstance]) -> str:
    """Return "2 finished, 1 failed", as markup."""
    by_status = {status: [each for each in instances if each.status is status] for status in Status}
    return ", ".join(
        f"[{STYLES[status]}]{counted(each.status for each in found)}[/]"
        for status, found in by_status.items()
        if found
    )


def plain(text: str) -> str:
    """Return the text without what would command a terminal: errors may quote what was fired."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def how_many(number: int, what: str) -> str:
    """Return "1 task", "2 tasks"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def print_finding(finding: Finding) -> None:
    """Print the finding with all that it follows from as a tree, and their details below it."""
    console = out()
    console.print(_tree(finding))
    for detail in _details(finding):
        console.print()
        console.print(Text(plain(detail), style="red"), soft_wrap=True)


def as_svg(dot_text: str) -> str:
    """Return the picture, drawn by Graphviz or by what the extra ``[svg]`` has in its place."""
    folders = (sysconfig.get_path("scripts"), os.environ.get("PATH", ""))
    program = shutil.which("dot") or shutil.which("graphviz-pure", path=os.pathsep.join(folders))
    if program is None:
        fail("SVG needs Graphviz's dot, or the extra: pip install 'triggers-core[svg]'")
    drawn = subprocess.run(  # noqa: S603 - a program that was looked up, without a shell
        [program, "-Tsvg"], input=dot_text, capture_output=True, encoding="utf-8", check=False
    )
    if drawn.returncode:
        fail(f"{program}: {drawn.stderr}")
    return drawn.stdout


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(stderr=stderr, width=UNBOUNDED_WIDTH)


def _tree(finding: Finding, tree: Tree | None = None) -> Tree:
    text = Text(plain(finding.text))
    branch = Tree(text) if tree is None else tree.add(text)
    for because in finding.because:
        _tree(because, branch)
    return branch


def _details(finding: Finding) -> Iterator[str]:
    if finding.detail:
        yield finding.detail
    for because in finding.because:
        yield from _details(because)


def _waits_for(manager: TriggerManager, instance: TaskInstance) -> str:
    return str(waits_of(instance, manager.task_config(instance))) if instance.waits_for else ""
