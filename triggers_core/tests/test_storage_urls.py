"""Where a process's sessions are: a storage's alias, its URL, and what the environment names."""

from pathlib import Path

import pytest

from triggers_core import (
    InvalidName,
    MemoryStorage,
    PluginError,
    SqliteStorage,
    Storage,
    StorageError,
    StorageNotFound,
    TriggerManager,
)
from triggers_core.plugins.in_use import STORAGE_VARIABLE


@pytest.mark.parametrize("make", [MemoryStorage, lambda **alias: SqliteStorage("x.db", **alias)])
class TestAlias:
    def test_is_default_unless_given(self, make):
        assert make().alias == "default"
        assert make(alias="archive").alias == "archive"

    @pytest.mark.parametrize("alias", ["", " padded", "x" * 256, "line\nbreak", None, 7])
    def test_that_no_message_could_carry_is_refused(self, make, alias):
        with pytest.raises(InvalidName, match="storage alias"):
            make(alias=alias)


class TestMemoryUrl:
    def test_gives_a_new_storage_each_time(self):
        first, second = (MemoryStorage.from_url("memory:", alias="a") for _ in range(2))
        with first.transaction("s", "m"):
            pass
        assert first.alias == second.alias == "a"
        assert list(second.sessions()) == []

    @pytest.mark.parametrize("url", ["memory", "memory://", "memory:x", "MEMORY:"])
    def test_has_one_form(self, url):
        with pytest.raises(StorageError, match="memory:"):
            MemoryStorage.from_url(url)


class TestSqliteUrl:
    def test_with_three_slashes_is_relative(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        storage = SqliteStorage.from_url("sqlite:///data.db", alias="a")
        monkeypatch.chdir("/")
        assert (storage.path, storage.alias) == (tmp_path / "data.db", "a")

    def test_with_four_slashes_is_absolute(self, tmp_path):
        assert SqliteStorage.from_url(f"sqlite:///{tmp_path}/data.db").path == tmp_path / "data.db"

    def test_is_percent_encoded(self):
        assert SqliteStorage.from_url("sqlite:////a%20b/%C3%A9%3F.db").path == Path("/a b/é?.db")

    def test_a_name_that_no_file_can_have_is_refused(self):
        with pytest.raises(StorageError, match="NUL"):
            SqliteStorage.from_url("sqlite:///a%00b.db")

    @pytest.mark.parametrize("url", ["sqlite:", "sqlite://x.db", "sqlite:///", "sqlite:x.db", ""])
    def test_of_another_form_is_refused(self, url):
        with pytest.raises(StorageError, match="sqlite:///relative.db"):
            SqliteStorage.from_url(url)

    def test_opens_nothing_yet(self, tmp_path):
        SqliteStorage.from_url(f"sqlite:///{tmp_path}/data.db").close()
        assert list(tmp_path.iterdir()) == []


class TestStorages:
    def test_one_is_known_by_its_alias(self, plugins):
        reports, default = MemoryStorage(alias="reports"), MemoryStorage()
        plugins.add_storage(reports)
        plugins.add_storage(default)
        plugins.add_storage(default)

        assert plugins.storage("reports") is reports
        assert plugins.storage() is default

    def test_an_alias_has_one_storage(self, plugins):
        first = MemoryStorage(alias="reports")
        plugins.add_storage(first)

        with pytest.raises(PluginError, match=r"alias 'reports' is taken.*another alias"):
            plugins.add_storage(MemoryStorage(alias="reports"))

        assert plugins.storage("reports") is first

    def test_an_unknown_alias_is_an_error_that_lists_the_known(self, plugins, monkeypatch):
        monkeypatch.delenv(STORAGE_VARIABLE, raising=False)
        plugins.add_storage(MemoryStorage(alias="reports"))

        with pytest.raises(StorageNotFound, match=r"'archive' \(known: reports\).*add_storage"):
            plugins.storage("archive")
        with pytest.raises(StorageNotFound, match=f"'default' .*set {STORAGE_VARIABLE} to a URL"):
            plugins.storage()

    def test_the_environment_names_the_default_one(self, plugins, monkeypatch, tmp_path):
        monkeypatch.setenv(STORAGE_VARIABLE, f"sqlite:///{tmp_path / 'triggers.db'}")
        plugins.storages.add(SqliteStorage)

        storage = plugins.storage()

        assert isinstance(storage, SqliteStorage)
        assert (storage.path, storage.alias) == (tmp_path / "triggers.db", "default")
        assert plugins.storage() is storage
        assert TriggerManager("s-1", plugins=plugins).storage is storage

    def test_the_environment_names_no_other(self, plugins, monkeypatch):
        monkeypatch.setenv(STORAGE_VARIABLE, "memory:")
        plugins.storages.add(MemoryStorage)

        with pytest.raises(StorageNotFound, match="'reports'"):
            plugins.storage("reports")

    def test_what_the_application_adds_is_above_the_environment(self, plugins, monkeypatch):
        monkeypatch.setenv(STORAGE_VARIABLE, "memory:")
        plugins.storages.add(MemoryStorage)
        storage = MemoryStorage()

        plugins.add_storage(storage)

        assert plugins.storage() is storage

    def test_a_url_of_an_unknown_kind_is_an_error_without_its_password(self, plugins):
        plugins.storages.add(MemoryStorage)

        with pytest.raises(StorageNotFound) as raised:
            plugins.open_storage("postgresql://app:secret@db/triggers")

        assert str(raised.value) == (
            "no storage 'postgresql' is registered (registered: memory)"
            "; pip install triggers-postgres"
        )

    def test_a_url_that_the_class_does_not_understand_is_its_error(self, plugins):
        plugins.storages.add(MemoryStorage)

        with pytest.raises(StorageError, match="'memory:' and no more"):
            plugins.open_storage("memory:somewhere")

    def test_an_abstract_class_is_refused(self, plugins):
        class Half(Storage):
            name = "half"

        with pytest.raises(PluginError, match=r"Half.*defines .*transaction"):
            plugins.storages.add(Half)

        assert plugins.storages.names() == []
