"""The contract of a storage, as checks: subclass :class:`StorageConformance` to run them on yours.

Each check has a number and, as its docstring, the rule of :mod:`triggers_core.storage.base` that
it holds the storage to. They stand in a file for each part of the contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from triggers_conformance.storage.closing import Closings
from triggers_conformance.storage.concurrency import Concurrency
from triggers_conformance.storage.counting import Counting
from triggers_conformance.storage.instances import Instances
from triggers_conformance.storage.lost_work import LostWork
from triggers_conformance.storage.naming import Naming
from triggers_conformance.storage.opening import Opening
from triggers_conformance.storage.rollback import Rollback
from triggers_conformance.storage.sessions import Sessions
from triggers_conformance.storage.triggers import Triggers
from triggers_conformance.storage.views import Views
from triggers_core import Storage


# Pytest runs the checks of the last one first.
class StorageConformance(
    Counting,
    Closings,
    Naming,
    LostWork,
    Concurrency,
    Triggers,
    Instances,
    Views,
    Rollback,
    Sessions,
    Opening,
):
    """What every storage keeps. Three lines of an author's own tests run it::

        class TestMyStorage(StorageConformance):
            def make_storage(self, tmp_path):
                return MyStorage(tmp_path / "store")

    Attributes:
        shared_by_processes: whether the storage offers that processes which open the same store
            see the same sessions. Checks of an ability that is not offered are skipped.
    """

    shared_by_processes: ClassVar[bool] = False

    def make_storage(self, tmp_path: Path) -> Storage:
        """Return the storage to test, empty. Called once for each check."""
        raise NotImplementedError(f"{type(self).__name__} must define make_storage(self, tmp_path)")

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        storage = self.make_storage(tmp_path)
        yield storage
        storage.close()
