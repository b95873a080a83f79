"""Sessions in one SQLite file. The storage stands on its session, schema and connections."""

from triggers_core.storage.sqlite.storage import SqliteStorage

__all__ = ["SqliteStorage"]
