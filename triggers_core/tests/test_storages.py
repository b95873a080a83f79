from triggers_conformance.storage import StorageConformance
from triggers_core import MemoryStorage, SqliteStorage


class TestMemoryStorage(StorageConformance):
    def make_storage(self, tmp_path):
        return MemoryStorage()


class TestSqliteStorage(StorageConformance):
    shared_by_processes = True

    def make_storage(self, tmp_path):
        return SqliteStorage(tmp_path / "triggers.db")
