"""The command ``triggers web``."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from triggers_core.cli.options import StorageOption, open_storage
from triggers_web.app import create_app
from triggers_web.guard import LOOPBACK, answered_hosts, host_in_url, is_loopback
from triggers_web.server import Server

DEFAULT_PORT = 8765
TOKEN_BYTES = 32


def web(
    context: typer.Context,
    storage: StorageOption = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = LOOPBACK,
    port: Annotated[
        int, typer.Option(help="The port; 0 for a free one.", min=0, max=65535)
    ] = DEFAULT_PORT,
    actions: Annotated[
        bool,
        typer.Option("--actions", help="Allow to mend (replay, skip, …) to who has the token."),
    ] = False,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Answer by this name too, as that of a proxy; may be repeated.",
        ),
    ] = None,
) -> None:
    """Show sessions in a browser: their graph, live, and why one is stuck. Read-only by default.

    Example: triggers web --storage sqlite:///triggers.db
    """
    opened = open_storage(context.obj, storage)
    if not opened.exists():
        # Not refused: it may be started before the application that makes the store.
        typer.echo(
            f"warning: {opened!r}: there is no such store yet; is it named rightly?", err=True
        )
    next(opened.sessions(), None)  # what cannot be read is told here, and not on every page
    token = secrets.token_urlsafe(TOKEN_BYTES) if actions else None
    hosts = [host, *(allowed_hosts or ())]
    app = create_app(opened, plugins=context.obj, token=token, allowed_hosts=hosts)
    server = Server(app, host=host, port=port)
    url = f"http://{host_in_url(host)}:{server.port}/"
    _tell(url, token)
    if not is_loopback(host):
        typer.echo(
            f"warning: {host} is no loopback address: whoever reaches it can read every session. "
            f"It answers by the names {', '.join(answered_hosts(hosts))}; --allow-host adds one",
            err=True,
        )
    server.run()


def _tell(url: str, token: str | None) -> None:
    typer.echo(f"sessions are at {url} until Ctrl-C")
    if token is not None:
        typer.echo(f"to mend, log in at {url}login with the token {token}")
