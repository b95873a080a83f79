"""The ``triggers`` command, in the extra ``[cli]``."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from triggers_core.errors import TriggersError


def main() -> None:
    """Run the command line; without its libraries, say how to install them."""
    if find_spec("typer") is None or find_spec("rich") is None:
        sys.exit("the command line needs its extra: pip install 'triggers-core[cli]'")
    from triggers_core import commands  # noqa: PLC0415 - needs the extra

    try:
        cli = commands.build()
    except TriggersError as error:
        sys.exit(f"error {error}")
    # The application that is worked on: what `triggers fire` starts in this process is often here.
    sys.path.insert(0, os.getcwd())
    cli()
