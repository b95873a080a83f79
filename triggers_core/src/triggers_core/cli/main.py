"""The ``triggers`` command, in the extra ``[cli]``."""

from __future__ import annotations

import io
import os
import sys
from importlib.util import find_spec

from triggers_core.plugins.in_use import Plugins, use_by_default

CALLED_WRONGLY = 2


def main() -> None:
    """Run the command line; without its libraries, say how to install them."""
    if find_spec("typer") is None or find_spec("rich") is None:
        sys.exit("the command line needs its extra: pip install 'triggers-core[cli]'")
    _check_decoded(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal lacks is no error
            stream.reconfigure(errors="backslashreplace")
    from triggers_core.cli import commands  # noqa: PLC0415 - needs the extra

    # An application's tasks are found as by `python -m`, but hide no installed module.
    sys.path.append(os.getcwd())
    plugins = Plugins(skip_broken=True)
    use_by_default(plugins)  # what the application's modules register with, too
    try:
        commands.build(plugins)()
    finally:
        _drop_what_cannot_be_written()


def _drop_what_cannot_be_written() -> None:
    """Keep the interpreter from trying once more, at its end, what a command has failed to write
    and has told of."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_decoded(arguments: list[str]) -> None:
    """Exit if one is not in this system's encoding: no name in a store has such characters."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            print(f"error: the argument {argument!a} is not UTF-8", file=sys.stderr)
            sys.exit(CALLED_WRONGLY)
