"""The command ``triggers``, in the extra ``[cli]``: nothing else imports from here but plugins that
add commands."""

from triggers_core.cli.main import main

__all__ = ["main"]
