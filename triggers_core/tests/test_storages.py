"""Both storages keep the contract."""

import pytest

from triggers_conformance.storage import StorageConformance
from triggers_core import MemoryStorage, SqliteStorage, StorageError


class TestMemoryStorage(StorageConformance):
    def make_storage(self, tmp_path):
        return MemoryStorage()


class TestSqliteStorage(StorageConformance):
    shared_by_processes = True

    def make_storage(self, tmp_path):
        return SqliteStorage(tmp_path / "triggers.db")


def test_a_thread_that_has_a_session_open_is_told_so_and_keeps_it(storage):
    with storage.transaction("outer", "m") as unit:
        unit.remember_trigger("before", {}, at=1.0)
        with (
            pytest.raises(StorageError, match="this thread has a session open"),
            storage.transaction("inner", "m"),
        ):
            raise AssertionError("it was let in")
        if isinstance(storage, SqliteStorage):  # memory has readers beside whoever writes
            with pytest.raises(StorageError, match="this thread"), storage.read("outer"):
                raise AssertionError("it was let in")
        unit.remember_trigger("after", {}, at=1.0)

    with storage.read("outer") as reader:
        assert sorted(reader.fired_triggers()) == ["after", "before"]
    assert [uid for uid, _ in storage.sessions()] == ["outer"]
    with storage.transaction("next", "m"):
        pass
