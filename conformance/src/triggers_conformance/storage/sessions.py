"""Sessions: made, listed, told apart, deleted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from triggers_conformance.storage.elsewhere import elsewhere
from triggers_conformance.storage.samples import (
    CONFIGURATION,
    DAY_SECONDS,
    EVERY_FIELD,
    MANAGER,
    RUNNING,
    SESSION,
)
from triggers_conformance.storage.steps import (
    EMPTY,
    aborted,
    all_seen,
    configure,
    instances_of,
    keep_trigger,
    read_session,
    write_everything,
)
from triggers_core import Storage


class Sessions:
    """Checks S5 to S12."""

    def test_s05_unknown_session(self, storage: Storage) -> None:
        """S5: a session that does not exist reads as an empty one, and a read does not make it."""
        seen = read_session(storage, all_seen)
        assert seen == EMPTY
        assert list(storage.sessions()) == []

    def test_s06_session_made(self, storage: Storage) -> None:
        """S6: the first transaction makes the session, even if it changes nothing; whoever opens
        it later, the manager that made it stays its manager."""
        with storage.transaction(SESSION, MANAGER):
            pass
        with storage.transaction(SESSION, "another manager"):
            pass
        assert list(storage.sessions()) == [(SESSION, MANAGER)]

    def test_s07_session_order(self, storage: Storage) -> None:
        """S7: ``sessions`` yields the oldest session first, whatever was used last."""
        uids = [f"session {number}" for number in (10, 9, 1, 5)]
        for uid in (*uids, uids[0]):
            with storage.transaction(uid, f"manager of {uid}"):
                pass
        assert list(storage.sessions()) == [(uid, f"manager of {uid}") for uid in uids]

    def test_s08_sessions_in_use(self, storage: Storage) -> None:
        """S8: sessions may be used, and changed by others too, while ``sessions`` yields them."""
        uids = [f"session {number}" for number in range(3)]
        for uid in uids:
            configure(storage, session_uid=uid)
        seen = []
        for uid, _ in storage.sessions():
            elsewhere(partial(keep_trigger, storage, "a", session_uid=uid))
            keep_trigger(storage, "b", session_uid=uid)
            aborted(storage, lambda unit: unit.remember_trigger("c", {}, at=0.0), uid)
            seen.append(uid)
        assert seen == uids
        for uid in uids:
            latest = read_session(
                storage, lambda reader: reader.latest_kwargs("abc"), session_uid=uid
            )
            assert latest == {"a": {}, "b": {}}

    def test_s09_sessions_apart(self, storage: Storage) -> None:
        """S9: sessions do not see each other."""
        configure(storage)
        with storage.transaction(SESSION, MANAGER) as unit:
            write_everything(unit)
        assert read_session(storage, all_seen, session_uid="another") == EMPTY
        with storage.transaction("another", MANAGER) as unit:
            assert all_seen(unit) == {**EMPTY, "manager_name": MANAGER}
            unit.save(replace(EVERY_FIELD, session_uid="another", attempt=99))
        assert instances_of(storage) == [EVERY_FIELD, RUNNING]

    def test_s10_manager_name(self, storage: Storage) -> None:
        """S10: a session knows the manager that made it; one that does not exist has none."""
        assert read_session(storage, lambda reader: reader.manager_name()) is None
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.manager_name() == MANAGER
        assert read_session(storage, lambda reader: reader.manager_name()) == MANAGER

    def test_s11_delete(self, storage: Storage) -> None:
        """S11: ``delete`` forgets the session whole, and no other; one of the same uid is then a
        new session."""
        for uid in (SESSION, "another"):
            with storage.transaction(uid, MANAGER) as unit:
                unit.configure(CONFIGURATION)
                write_everything(unit, uid)
        another = read_session(storage, all_seen, "another")
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.delete()
        assert list(storage.sessions()) == [("another", MANAGER)]
        assert read_session(storage, all_seen) == EMPTY
        assert read_session(storage, all_seen, "another") == another
        lost = storage.take_lost(limit=10, hold_until=storage.now() + DAY_SECONDS)
        assert {item.instance.session_uid for item in lost} == {"another"}
        with storage.transaction(SESSION, "another manager") as unit:
            assert all_seen(unit) == {**EMPTY, "manager_name": "another manager"}
        assert list(storage.sessions()) == [("another", MANAGER), (SESSION, "another manager")]

    def test_s12_delete_at_the_end(self, storage: Storage) -> None:
        """S12: a session that is deleted is there for others until the transaction ends, and for
        whoever began to read before."""
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            write_everything(unit)
        before = read_session(storage, all_seen)

        def delete() -> None:
            with storage.transaction(SESSION, MANAGER) as unit:
                unit.delete()
                assert elsewhere(lambda: read_session(storage, all_seen)) == before

        with storage.read(SESSION) as reader:
            assert reader.manager_name() == MANAGER
            elsewhere(delete)
            assert all_seen(reader) == before
        assert read_session(storage, all_seen) == EMPTY
