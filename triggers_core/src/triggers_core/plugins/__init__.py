"""Who is registered, and by whom: hook plugins, runners, managers and storages.

Stands on the contracts: ``hookspecs``, ``runner``, ``task``, ``storage`` and ``manager``. The
worker's side, and whatever starts a process, import from here.
"""

from triggers_core.plugins.in_use import STORAGE_VARIABLE, Plugins, default_plugins

__all__ = ["STORAGE_VARIABLE", "Plugins", "default_plugins"]
