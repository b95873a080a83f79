"""The ``triggers`` command, in the extra ``[cli]``."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from triggers_core.plugins.in_use import Plugins, use_by_default


def main() -> None:
    """Run the command line; without its libraries, say how to install them."""
    if find_spec("typer") is None or find_spec("rich") is None:
        sys.exit("the command line needs its extra: pip install 'triggers-core[cli]'")
    from triggers_core.cli import commands  # noqa: PLC0415 - needs the extra

    # An application's tasks are found as by `python -m`, but hide no installed module.
    sys.path.append(os.getcwd())
    plugins = Plugins(skip_broken=True)
    use_by_default(plugins)  # what the application's modules register with, too
    commands.build(plugins)()
