"""What several commands ask for: the storage, the session, an instance, JSON; and how it is had."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from triggers_core.errors import StorageError, StorageNotFound, TriggersError
from triggers_core.insight.viewing import manager_of, viewer_of
from triggers_core.manager import TriggerManager
from triggers_core.plugins.in_use import STORAGE_VARIABLE, Plugins, default_plugins
from triggers_core.storage.base import DEFAULT_ALIAS, Storage

MOST_COMPLETIONS = 100
SECONDS_A_DAY = 86_400
BY_VARIABLE = "TRIGGERS_BY"


def complete_session(context: typer.Context, incomplete: str) -> list[str]:
    """Return the uids of the store's sessions that begin so."""
    return _completions(context, lambda storage: (uid for uid, _ in storage.sessions()), incomplete)


def complete_task(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the session's tasks that begin so."""

    def names(storage: Storage) -> Iterator[str]:
        with storage.read(context.params["session"]) as reader:
            yield from reader.configuration()

    return _completions(context, names, incomplete)


def complete_instance(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the session's instances that begin so."""

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
    str, typer.Argument(help="The session's uid.", autocompletion=complete_session)
]
InstanceArgument = Annotated[
    str,
    typer.Argument(help="The instance's name: 't_task#0'.", autocompletion=complete_instance),
]
ReasonOption = Annotated[
    str | None, typer.Option(help="Why, in a line: it is kept with the instance.")
]
ByOption = Annotated[
    str | None, typer.Option(envvar=BY_VARIABLE, help="Who does it: kept with the instance too.")
]
EndReasonOption = Annotated[
    str | None,
    typer.Option(
        "--reason", help="Why, in a line: it is kept with the session, and with what is abandoned."
    ),
]
EndByOption = Annotated[
    str | None,
    typer.Option("--by", envvar=BY_VARIABLE, help="Who does it: kept with the session too."),
]
IntervalOption = Annotated[
    float, typer.Option(help="Seconds between two looks.", min=0.1, max=SECONDS_A_DAY)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KwargsOption = Annotated[str, typer.Option(help="Kwargs, as a JSON object.")]
ConfigurationArgument = Annotated[
    str, typer.Argument(help="A JSON file: task name → directives; or module:NAME.")
]


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


def storage_at(plugins: Plugins, url: str | None) -> Storage:
    """Return the storage as :func:`open_storage` does, to look at.

    Raises:
        StorageError: there is no such store yet.
    """
    opened = open_storage(plugins, url)
    if not opened.exists():
        raise StorageError(f"{opened!r}: there is no such store yet; is it named rightly?")
    return opened


def manager_at(plugins: Plugins, url: str | None, session_uid: str) -> TriggerManager:
    """Return the session's own manager, to act with. Raises as :func:`manager_of` does."""
    return manager_of(plugins, open_storage(plugins, url), session_uid)


def viewer_at(plugins: Plugins, url: str | None, session_uid: str) -> TriggerManager:
    """Return a manager to look with. Raises as :func:`viewer_of` and :func:`storage_at` do."""
    return viewer_of(plugins, storage_at(plugins, url), session_uid)


def configuration_at(source: str) -> Any:
    """Return what a JSON file holds, or what ``module:NAME`` names; nothing of it is checked.

    Raises:
        typer.BadParameter: there is no such file, module or name, or no JSON in the file.
    """
    module_name, separator, name = source.partition(":")
    if Path(source).is_file():
        return parsed(source, Path(source).read_bytes())
    if not separator:
        raise typer.BadParameter(
            f"{source!r} is no file, and no module:NAME", param_hint="CONFIGURATION"
        )
    try:
        return getattr(import_module(module_name), name)
    except Exception as error:  # whatever a module raises while it is imported
        raise typer.BadParameter(
            f"{source!r} cannot be had: {type(error).__name__}: {error}",
            param_hint="CONFIGURATION",
        ) from error


def parsed(where: str, text: str | bytes) -> Any:
    """Return the JSON value. Raises typer.BadParameter, which says where it stands."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"expected JSON: {error}", param_hint=where) from error
