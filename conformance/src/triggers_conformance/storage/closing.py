"""That a session is over, and how."""

from __future__ import annotations

import pytest

from triggers_conformance.storage.elsewhere import elsewhere
from triggers_conformance.storage.samples import (
    CLOSING,
    CONFIGURATION,
    EVERY_FIELD,
    MANAGER,
    SESSION,
)
from triggers_conformance.storage.steps import aborted, instances_of, keep, read_session
from triggers_core import Closing, SessionReader, Storage


def closing_of(reader: SessionReader) -> Closing | None:
    return reader.closing()


def close(storage: Storage, closing: Closing = CLOSING, session_uid: str = SESSION) -> None:
    with storage.transaction(session_uid, MANAGER) as unit:
        unit.close_session(closing)


class Closings:
    """Checks S71 to S75."""

    @pytest.mark.parametrize("closing", [CLOSING, Closing("closed", 0.0)])
    def test_s71_closing_kept(self, storage: Storage, closing: Closing) -> None:
        """S71: how a session ended is kept whole, and found by a read and by a transaction, also
        after the storage was closed."""
        close(storage, closing)
        storage.close()
        assert read_session(storage, closing_of) == closing
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.closing() == closing

    def test_s72_open_until_closed(self, storage: Storage) -> None:
        """S72: no session is over before it is closed, and closing one closes no other."""
        for uid in (SESSION, "another"):
            with storage.transaction(uid, MANAGER) as unit:
                unit.configure(CONFIGURATION)
                assert unit.closing() is None
        close(storage)
        assert read_session(storage, closing_of) == CLOSING
        assert read_session(storage, closing_of, "another") is None
        assert read_session(storage, closing_of, "a third") is None

    def test_s73_closing_undone(self, storage: Storage) -> None:
        """S73: an exception undoes the closing, the first and one in place of another."""
        aborted(storage, lambda unit: unit.close_session(CLOSING))
        assert read_session(storage, closing_of) is None
        close(storage)
        aborted(storage, lambda unit: unit.close_session(Closing("closed", 1.0)))
        assert read_session(storage, closing_of) == CLOSING

    def test_s74_closing_seen_at_the_end(self, storage: Storage) -> None:
        """S74: a transaction sees that it closed the session; others do when it has ended, but for
        those that began to read before."""
        keep(storage, EVERY_FIELD)
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.close_session(CLOSING)
            assert unit.closing() == CLOSING
            assert elsewhere(lambda: read_session(storage, closing_of)) is None
        close(storage, session_uid="another")
        with storage.read("another") as reader:
            elsewhere(lambda: close(storage, Closing("closed", 1.0), "another"))
            assert reader.closing() == CLOSING

    def test_s75_closed_is_not_gone(self, storage: Storage) -> None:
        """S75: a storage keeps what it is told of a closed session too, and finds it: what may
        follow is for the rules to say."""
        keep(storage, EVERY_FIELD)
        close(storage)
        assert instances_of(storage) == [EVERY_FIELD]
        keep(storage, EVERY_FIELD.changed(attempt=3))
        assert instances_of(storage) == [EVERY_FIELD.changed(attempt=3)]
        assert read_session(storage, closing_of) == CLOSING
        assert (SESSION, MANAGER) in list(storage.sessions())
