"""PostgreSQL keeps the contract of every storage."""

import pytest

from triggers_conformance.storage import StorageConformance


class TestPostgresStorage(StorageConformance):
    shared_by_processes = True

    @pytest.fixture(autouse=True)
    def keep_maker(self, make_storage):
        self._make = make_storage

    def make_storage(self, tmp_path):
        return self._make()
