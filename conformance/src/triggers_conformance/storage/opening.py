"""What a storage is called, its clock, and that it opens again when it was closed."""

from __future__ import annotations

import time

from triggers_conformance.storage.elsewhere import elsewhere
from triggers_conformance.storage.samples import CONFIGURATION, DAY_SECONDS, EVERY_FIELD
from triggers_conformance.storage.steps import configure, instances_of, keep, read_session
from triggers_core import Storage
from triggers_core.rules.names import check_name


class Opening:
    """Checks S1 to S4."""

    def test_s01_names(self, storage: Storage) -> None:
        """S1: ``name`` and ``alias`` are names that a URL and a message can carry."""
        assert check_name(type(storage).name, "storage")
        assert check_name(storage.alias, "storage alias")

    def test_s02_clock(self, storage: Storage) -> None:
        """S2: ``now`` is in seconds since the epoch, UTC."""
        assert isinstance(storage.now(), float)
        assert abs(storage.now() - time.time()) < DAY_SECONDS

    def test_s03_close(self, storage: Storage) -> None:
        """S3: a storage that was closed, even twice, opens again when it is used again."""
        configure(storage)
        storage.close()
        storage.close()
        assert read_session(storage, lambda reader: reader.configuration()) == CONFIGURATION
        keep(storage, EVERY_FIELD)
        storage.close()
        assert instances_of(storage) == [EVERY_FIELD]

    def test_s04_close_by_another_thread(self, storage: Storage) -> None:
        """S4: any thread may close the storage; those that used it go on using it."""
        configure(storage)
        elsewhere(storage.close)
        assert read_session(storage, lambda reader: reader.configuration()) == CONFIGURATION
        keep(storage, EVERY_FIELD)
        assert elsewhere(lambda: instances_of(storage)) == [EVERY_FIELD]
