"""The log of the firings that somebody counts."""

from __future__ import annotations

from typing import Any

from triggers_conformance.storage.elsewhere import elsewhere, in_threads
from triggers_conformance.storage.samples import (
    CONFIGURATION,
    JSON_VALUES,
    MANAGER,
    SESSION,
    THREADS,
    TURNS,
)
from triggers_conformance.storage.steps import aborted, read_session
from triggers_core import SessionReader, Storage

ALIKE = ("a", "A", "å", "a\N{COMBINING RING ABOVE}")
MANY = 25


def log(
    storage: Storage, *numbers: int, trigger_name: str = "a", session_uid: str = SESSION
) -> None:
    """Log firings in one transaction, and remember the last, as the engine does."""
    with storage.transaction(session_uid, MANAGER) as unit:
        for number in numbers:
            unit.log_firing(trigger_name, {"n": number}, at=float(number))
        unit.remember_trigger(trigger_name, {"n": numbers[-1]}, at=0.0, is_logged=True)


def logged(storage: Storage, trigger_name: str = "a", session_uid: str = SESSION) -> list[Any]:
    """Return the numbers of all firings that are logged."""

    def numbers(reader: SessionReader) -> list[Any]:
        return [kwargs["n"] for kwargs in reader.firings(trigger_name, 1_000)]

    return read_session(storage, numbers, session_uid)


def count(storage: Storage, trigger_name: str = "a", session_uid: str = SESSION) -> int:
    return read_session(storage, lambda reader: reader.firing_count(trigger_name), session_uid)


class Counting:
    """Checks S76 to S82."""

    def test_s76_firings_in_order(self, storage: Storage) -> None:
        """S76: what is logged of a trigger is found in the order in which it was, whatever the
        clock says: by the transaction, by later ones, and after the storage was closed;
        ``firings`` returns the first of them, so many."""
        wanted = [3, 1, 2, 0]
        log(storage, *wanted[:-1])
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.log_firing("a", {"n": 0}, at=0.0)
            assert [each["n"] for each in unit.firings("a", 10)] == wanted
            assert unit.firing_count("a") == len(wanted)
            unit.remember_trigger("a", {"n": 0}, at=0.0, is_logged=True)
        storage.close()
        assert logged(storage) == wanted
        with storage.read(SESSION) as reader:
            assert reader.firings("a", 2) == [{"n": 3}, {"n": 1}]
            assert reader.firings("a", 0) == []
            assert reader.firings("b", 10) == []
            assert reader.latest_kwargs(["a"]) == {"a": {"n": 0}}

    def test_s77_firings_apart(self, storage: Storage) -> None:
        """S77: the firings of one trigger, and of one session, are apart from those of every other,
        by code point."""
        for uid in (SESSION, "another"):
            for number, name in enumerate(ALIKE, 1):
                log(storage, *range(number), trigger_name=name, session_uid=uid)
        for uid in (SESSION, "another"):
            for number, name in enumerate(ALIKE, 1):
                assert logged(storage, name, uid) == list(range(number))
                assert count(storage, name, uid) == number
        assert count(storage, session_uid="a third") == 0

    def test_s78_latest_counts_once(self, storage: Storage) -> None:
        """S78: ``firing_count`` is that of the firings logged, and one more while the latest that
        was remembered is not among them; ``log_latest`` appends that one, once."""
        with storage.transaction(SESSION, MANAGER) as unit:
            assert unit.firing_count("a") == 0
            unit.log_latest("a")
            assert unit.firing_count("a") == 0
            unit.remember_trigger("a", {"n": 1}, at=1.0)
            unit.remember_trigger("a", {"n": 2}, at=2.0)
        assert (count(storage), logged(storage)) == (1, [])
        for _ in range(2):
            with storage.transaction(SESSION, MANAGER) as unit:
                unit.log_latest("a")
            assert (count(storage), logged(storage)) == (1, [2])
        log(storage, 3)
        assert (count(storage), logged(storage)) == (2, [2, 3])
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.remember_trigger("a", {"n": 4}, at=4.0)
            before = unit.firing_count("a")
            unit.log_latest("a")
            assert unit.firing_count("a") == before
        assert (count(storage), logged(storage)) == (before, [2, 3, 4])

    def test_s79_logging_undone(self, storage: Storage) -> None:
        """S79: an exception undoes what was logged."""
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.configure(CONFIGURATION)
            unit.remember_trigger("b", {"n": 1}, at=0.0)
        log(storage, 1)
        aborted(storage, lambda unit: unit.log_firing("a", {"n": 2}, at=0.0))
        aborted(storage, lambda unit: unit.log_latest("b"))
        assert (count(storage), logged(storage)) == (1, [1])
        assert (count(storage, "b"), logged(storage, "b")) == (1, [])
        log(storage, 3)
        assert logged(storage) == [1, 3]

    def test_s80_logged_kwargs(self, storage: Storage) -> None:
        """S80: the kwargs of a firing come back as they were logged, and what is read shares
        nothing with what is kept; whoever reads sees the log as it was when they began."""
        with storage.transaction(SESSION, MANAGER) as unit:
            for value in JSON_VALUES.values():
                unit.log_firing("a", {"value": value}, at=0.0)
        wanted = [{"value": value} for value in JSON_VALUES.values()]
        with storage.read(SESSION) as reader:
            first = reader.firings("a", 100)
            assert first == wanted
            first[0]["value"] = "spoiled"
            elsewhere(lambda: log(storage, 1))
            assert reader.firings("a", 100) == wanted
            assert reader.firing_count("a") == len(wanted)
        assert count(storage) == len(wanted) + 1

    def test_s81_deleted_with_the_session(self, storage: Storage) -> None:
        """S81: a session that is deleted has no firings when it is made anew, and others keep
        theirs."""
        log(storage, *range(MANY))
        log(storage, 1, session_uid="another")
        with storage.transaction(SESSION, MANAGER) as unit:
            unit.delete()
        log(storage, 7)
        assert (count(storage), logged(storage)) == (1, [7])
        assert logged(storage, session_uid="another") == [1]

    def test_s82_logged_by_many(self, storage: Storage) -> None:
        """S82: what many threads log at once is there, each once, and that of each in order."""

        def log_own(thread: int) -> None:
            for turn in range(TURNS):
                with storage.transaction(SESSION, MANAGER) as unit:
                    unit.log_firing("a", {"n": [thread, turn]}, at=0.0)

        in_threads(THREADS, log_own)
        found = logged(storage)
        assert sorted(found) == [[each, turn] for each in range(THREADS) for turn in range(TURNS)]
        for thread in range(THREADS):
            assert [turn for each, turn in found if each == thread] == list(range(TURNS))
