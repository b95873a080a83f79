"""Sessions in PostgreSQL: one store for any number of threads, processes and machines."""

from triggers_postgres.storage import PostgresStorage

__all__ = ["PostgresStorage"]
