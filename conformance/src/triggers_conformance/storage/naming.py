"""Names are told apart by code point, wherever a storage looks one up."""

from __future__ import annotations

from dataclasses import replace

from triggers_conformance.storage.samples import CONFIGURATION, EVERY_FIELD, MANAGER, SESSION
from triggers_conformance.storage.steps import read_session
from triggers_core import SessionReader, Storage, TaskInstance

NAMES = (
    "order",
    "Order",
    "ORDER",
    "\N{FULLWIDTH LATIN SMALL LETTER O}rder",
    "\N{CYRILLIC SMALL LETTER O}rder",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "cafe\N{COMBINING ACUTE ACCENT}",
    "cafe",
    "stra\N{LATIN SMALL LETTER SHARP S}e",
    "strasse",
    "\N{LATIN SMALL LIGATURE FI}le",
    "file",
    "f\N{LATIN SMALL LETTER DOTLESS I}le",
    "FILE",
    "f\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}le",
    "a b",
    "a  b",
    "a_b",
    "a%b",
    "7",
    "07",
    "7.0",
    "7e0",
)
"""No two are the same name. What folds case, accents or widths, or takes text for a pattern or a
number, takes some of them for one."""


class Naming:
    """Checks S69, S70."""

    def test_s69_sessions_by_code_point(self, storage: Storage) -> None:
        """S69: the uids of sessions, and the names of managers, are told apart by code point."""
        first, second = NAMES[::2], NAMES[1::2]
        for uid in first:
            _begin(storage, uid)
        for uid in second:
            assert read_session(storage, _what_is_there, uid) == (None, {}), repr(uid)
        for uid in second:
            _begin(storage, uid)
        assert list(storage.sessions()) == [(uid, uid) for uid in (*first, *second)]
        for uid in NAMES:
            seen = read_session(storage, _what_is_there, uid)
            assert seen == (uid, {"a": {"of": uid}}), repr(uid)
        with storage.transaction(NAMES[0], MANAGER) as unit:
            unit.delete()
        for uid in NAMES[1:]:
            assert read_session(storage, _what_is_there, uid)[0] == uid

    def test_s70_names_by_code_point(self, storage: Storage) -> None:
        """S70: triggers, tasks and events are told apart by code point in every look-up."""
        kept: list[str] = []
        for name in NAMES:
            with storage.transaction(SESSION, MANAGER) as unit:
                if not kept:
                    unit.configure(CONFIGURATION)
                _check_unknown(unit, name)
                unit.remember_trigger(name, {"of": name}, at=0.0)
                unit.record_outcome(name, {"of": name})
                unit.save(_instance(name, len(kept)))
                kept.append(name)
                _check_known(unit, kept)
        with storage.read(SESSION) as reader:
            _check_known(reader, kept)
            fired = reader.fired_triggers()
            assert not fired or sorted(fired) == sorted(NAMES)
            names = [instance.task_name for instance in reader.instances()]
            assert names == sorted(NAMES)


def _begin(storage: Storage, uid: str) -> None:
    with storage.transaction(uid, uid) as unit:
        unit.remember_trigger("a", {"of": uid}, at=0.0)


def _what_is_there(reader: SessionReader) -> tuple[str | None, dict[str, dict[str, object]]]:
    return reader.manager_name(), reader.latest_kwargs(["a"])


def _instance(name: str, number: int) -> TaskInstance:
    return replace(EVERY_FIELD, task_name=name, number=number, waits_for=frozenset({name}))


def _check_unknown(reader: SessionReader, name: str) -> None:
    assert reader.latest_kwargs([name]) == {}, repr(name)
    assert reader.outcome(name) is None, repr(name)
    assert reader.waiting_for(name) == [], repr(name)
    assert reader.next_number(name) == 0, repr(name)
    assert reader.instances(task_name=name) == [], repr(name)


def _check_known(reader: SessionReader, names: list[str]) -> None:
    assert reader.latest_kwargs(NAMES) == {name: {"of": name} for name in names}
    for number, name in enumerate(names):
        wanted = _instance(name, number)
        assert reader.latest_kwargs([name]) == {name: {"of": name}}, repr(name)
        assert reader.outcome(name) == {"of": name}, repr(name)
        assert reader.waiting_for(name) == [wanted], repr(name)
        assert reader.next_number(name) == number + 1, repr(name)
        assert reader.instance(name, number) == wanted, repr(name)
        assert reader.instances(task_name=name) == [wanted], repr(name)
