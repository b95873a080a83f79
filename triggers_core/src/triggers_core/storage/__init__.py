"""Where sessions are kept: the contract in ``base``, and the two storages of the core.

Stands on ``rules``; whatever opens, reads or changes a session may import from here. Storages
import the contract and never each other.
"""

from triggers_core.storage.base import SessionReader, Storage, UnitOfWork

__all__ = ["SessionReader", "Storage", "UnitOfWork"]
