"""The plugin: adds the command. It is loaded wherever triggers is, so it imports nothing yet."""

from __future__ import annotations

from typing import Any

from triggers_core import hookimpl


@hookimpl
def triggers_register_commands(cli: Any) -> None:
    """Add ``triggers web``."""
    from triggers_web.commands import web  # noqa: PLC0415 - needs what only the command line does

    cli.command("web")(web)
