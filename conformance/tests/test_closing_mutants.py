"""The suite is tested: a storage that keeps the end of a session wrongly is caught by its rule."""

from dataclasses import replace

import pytest

from triggers_conformance.storage.closing import Closings
from triggers_conformance.storage.samples import CLOSING
from triggers_core import Closing, MemoryStorage
from triggers_core.storage.memory import _MemoryReader, _MemoryWork

READ, CLOSE, APPLY = _MemoryReader.closing, _MemoryWork.close_session, _MemoryWork.apply_to
_OF_ALL = []


def without_who_and_why(self):
    found = READ(self)
    return None if found is None else Closing(found.how, found.at)


def as_cancelled(self):
    found = READ(self)
    return None if found is None else replace(found, how="cancelled")


def of_any_session(self):
    return _OF_ALL[-1] if _OF_ALL else READ(self)


def keep_for_any_session(self, closing):
    _OF_ALL.append(closing)


def close_at_once(self, closing):
    CLOSE(self, closing)
    self._session.closing = closing


def as_it_was(self):
    return self._session.closing


def forget_instances(self, closing):
    CLOSE(self, closing)
    self._session.rows.clear()


def apply_no_more(self, session):
    if session.closing is None:
        APPLY(self, session)


MUTANTS = [
    ({"read": without_who_and_why}, lambda it: it.test_s71_closing_kept, (CLOSING,)),
    ({"read": as_cancelled}, lambda it: it.test_s71_closing_kept, (Closing("closed", 0.0),)),
    (
        {"read": of_any_session, "close": keep_for_any_session},
        lambda it: it.test_s72_open_until_closed,
        (),
    ),
    ({"close": close_at_once}, lambda it: it.test_s73_closing_undone, ()),
    ({"read": as_it_was}, lambda it: it.test_s74_closing_seen_at_the_end, ()),
    ({"close": forget_instances}, lambda it: it.test_s75_closed_is_not_gone, ()),
    ({"apply": apply_no_more}, lambda it: it.test_s75_closed_is_not_gone, ()),
]
PLACES = {
    "read": (_MemoryReader, "closing"),
    "close": (_MemoryWork, "close_session"),
    "apply": (_MemoryWork, "apply_to"),
}


@pytest.mark.parametrize(("faults", "check", "arguments"), MUTANTS)
def test_each_is_caught(monkeypatch, faults, check, arguments):
    _OF_ALL.clear()
    check(Closings())(MemoryStorage(), *arguments)
    for place, fault in faults.items():
        monkeypatch.setattr(*PLACES[place], fault)
    with pytest.raises(AssertionError):
        check(Closings())(MemoryStorage(), *arguments)
