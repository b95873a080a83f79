"""Where sessions are kept: the contract in ``base``, and the two storages of the core."""

from triggers_core.storage.base import SessionReader, Storage, UnitOfWork

__all__ = ["SessionReader", "Storage", "UnitOfWork"]
