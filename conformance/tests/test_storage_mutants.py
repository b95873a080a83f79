"""The suite is tested: a storage that takes two names for one, that miscounts, that renews leases
wrongly, that looks wrongly or foresees wrongly is caught."""

import unicodedata
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from triggers_conformance.storage.counting import Counting
from triggers_conformance.storage.lost_work import LostWork
from triggers_conformance.storage.naming import Naming
from triggers_conformance.storage.views import Views
from triggers_core import Configuration, MemoryStorage, Status
from triggers_core.rules.kwargs import to_json
from triggers_core.storage.memory import _MemoryReader, _MemoryWork, _Session

FOLDS = {
    "case": str.lower,
    "case, whole": str.casefold,
    "composition": partial(unicodedata.normalize, "NFC"),
    "decomposition": partial(unicodedata.normalize, "NFD"),
    "widths": partial(unicodedata.normalize, "NFKC"),
    "accents": lambda name: "".join(
        character
        for character in unicodedata.normalize("NFD", name)
        if not unicodedata.combining(character)
    ),
    "spaces": lambda name: " ".join(name.split()),
}

LOOKUPS = {
    "events": {"outcome": "record_outcome"},
    "latest kwargs": {"latest_kwargs": "remember_trigger"},
    "numbers": {"next_number": None},
    "instances": {"instance": None},
}


def folding_names(fold, lookups):
    """Return units of a storage that folds the names in some look-ups."""

    def folded(method):
        def call(self, name, *arguments, **keywords):
            name = fold(name) if isinstance(name, str) else [fold(each) for each in name]
            return method(self, name, *arguments, **keywords)

        return call

    for lookup, write in lookups.items():
        yield _MemoryReader, lookup, folded(getattr(_MemoryReader, lookup))
        if write is not None:
            yield _MemoryWork, write, folded(getattr(_MemoryWork, write))


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("lookup", LOOKUPS)
def test_a_storage_that_folds_names_is_caught(fold, lookup, monkeypatch):
    for owner, name, method in folding_names(FOLDS[fold], LOOKUPS[lookup]):
        monkeypatch.setattr(owner, name, method)

    with pytest.raises(AssertionError):
        Naming().test_s70_names_by_code_point(MemoryStorage())


@pytest.mark.parametrize("fold", FOLDS)
def test_a_storage_that_folds_waiting_triggers_is_caught(fold, monkeypatch):
    def folded_waiting_for(self, trigger_name):
        wanted = FOLDS[fold](trigger_name)
        return [
            instance
            for instance in self.instances()
            if wanted in map(FOLDS[fold], instance.waits_for)
        ]

    monkeypatch.setattr(_MemoryWork, "waiting_for", folded_waiting_for)

    with pytest.raises(AssertionError):
        Naming().test_s70_names_by_code_point(MemoryStorage())


@pytest.mark.parametrize("fold", FOLDS)
def test_a_storage_that_folds_uids_is_caught(fold):
    class Folding(MemoryStorage):
        def transaction(self, session_uid, manager_name):
            return super().transaction(FOLDS[fold](session_uid), manager_name)

        def read(self, session_uid):
            return super().read(FOLDS[fold](session_uid))

    with pytest.raises(AssertionError):
        Naming().test_s69_sessions_by_code_point(Folding())


@pytest.mark.parametrize("fold", FOLDS)
def test_a_storage_that_folds_the_names_of_managers_is_caught(fold):
    class Folding(MemoryStorage):
        def transaction(self, session_uid, manager_name):
            return super().transaction(session_uid, FOLDS[fold](manager_name))

    with pytest.raises(AssertionError):
        Naming().test_s69_sessions_by_code_point(Folding())


def in_any_order(self, trigger_name, count):
    return sorted(FIRINGS(self, trigger_name, count), key=str)


def all_of_them(self, trigger_name, count):
    return FIRINGS(self, trigger_name, 1_000)


def of_the_trigger_in_lower_case(self, trigger_name, count):
    return FIRINGS(self, trigger_name.lower(), count)


def count_without_the_latest(self, trigger_name):
    return self._logged_count(trigger_name)


def log_the_latest_again(self, trigger_name):
    if trigger_name in self._latest:
        self._new_firings.setdefault(trigger_name, []).append(self._latest[trigger_name].kwargs)


def log_at_once(self, trigger_name, trigger_kwargs, *, at):
    self._session.firings.setdefault(trigger_name, []).append(to_json(trigger_kwargs))


FIRINGS = _MemoryReader.firings
LOG_FIRING = _MemoryWork.log_firing
MISCOUNTING = [
    (_MemoryReader, "firings", in_any_order, "s76_firings_in_order"),
    (_MemoryReader, "firings", all_of_them, "s76_firings_in_order"),
    (_MemoryReader, "firings", of_the_trigger_in_lower_case, "s77_firings_apart"),
    (_MemoryReader, "firing_count", count_without_the_latest, "s78_latest_counts_once"),
    (_MemoryWork, "log_latest", log_the_latest_again, "s78_latest_counts_once"),
    (_MemoryWork, "log_firing", log_at_once, "s79_logging_undone"),
]


@pytest.mark.parametrize(
    ("owner", "name", "method", "rule"), MISCOUNTING, ids=lambda each: getattr(each, "__name__", "")
)
def test_a_storage_that_miscounts_is_caught(owner, name, method, rule, monkeypatch):
    monkeypatch.setattr(owner, name, method)

    with pytest.raises(AssertionError):
        getattr(Counting(), f"test_{rule}")(MemoryStorage())


def test_a_storage_whose_readers_see_what_is_logged_later_is_caught(monkeypatch):
    monkeypatch.setattr(_Session, "copy", lambda self: self)

    with pytest.raises(AssertionError):
        Counting().test_s80_logged_kwargs(MemoryStorage())


def test_a_storage_that_keeps_the_log_of_a_deleted_session_is_caught():
    kept = {}

    class Keeping(MemoryStorage):
        @contextmanager
        def transaction(self, session_uid, manager_name):
            with super().transaction(session_uid, manager_name) as unit:
                unit._session.firings = kept.setdefault(session_uid, unit._session.firings)
                yield unit

    with pytest.raises(AssertionError):
        Counting().test_s81_deleted_with_the_session(Keeping())


def test_a_storage_that_loses_what_is_logged_at_once_is_caught(monkeypatch):
    def log_once(self, trigger_name, trigger_kwargs, *, at):
        LOG_FIRING(self, trigger_name, trigger_kwargs, at=at)
        if len(super(_MemoryWork, self)._logged(trigger_name)) == 1:
            self._new_firings.clear()

    monkeypatch.setattr(_MemoryWork, "log_firing", log_once)

    with pytest.raises(AssertionError):
        Counting().test_s82_logged_by_many(MemoryStorage())


def test_a_storage_that_folds_nothing_passes():
    Naming().test_s69_sessions_by_code_point(MemoryStorage())
    Naming().test_s70_names_by_code_point(MemoryStorage())


class Renewing(MemoryStorage):
    """Renews by a way of its own, in which tests put what is wrong."""

    statuses = (Status.RUNNING,)
    stops = False

    def renew_leases(self, leases):
        for lease in leases:
            with self.transaction(lease.session_uid, lease.manager_name) as unit:
                found = unit.instance(lease.task_name, lease.number)
                if found is not None and found.status in self.statuses:
                    unit.save(self.renewed(found, lease))
                elif self.stops and found is None:
                    return

    def renewed(self, instance, lease):
        return replace(instance, recover_at=self.now() + lease.seconds)


class RenewsNothing(Renewing):
    statuses = ()


class RenewsWhatWaits(Renewing):
    statuses = tuple(Status)


class RenewsAllAlike(Renewing):
    def renewed(self, instance, lease):
        return replace(instance, recover_at=self.now() + 100.0)


class TellsOfAChange(Renewing):
    def renewed(self, instance, lease):
        return replace(super().renewed(instance, lease), changed_at=self.now())


class StopsAtOneThatIsGone(Renewing):
    stops = True


@pytest.mark.parametrize("mutant", [RenewsNothing, RenewsWhatWaits, RenewsAllAlike, TellsOfAChange])
def test_a_storage_that_renews_the_wrong_leases_is_caught(mutant):
    with pytest.raises(AssertionError):
        LostWork().test_s83_leases_renewed(mutant())


def test_a_storage_that_stops_at_a_lease_that_is_gone_is_caught():
    LostWork().test_s83_leases_renewed(StopsAtOneThatIsGone())
    with pytest.raises(AssertionError):
        LostWork().test_s84_none_keeps_another_back(StopsAtOneThatIsGone())


def test_a_storage_that_renews_what_runs_passes():
    LostWork().test_s83_leases_renewed(Renewing())
    LostWork().test_s84_none_keeps_another_back(Renewing())


class LooksTwice(MemoryStorage):
    """Answers each look-up of a question by a view of its own."""

    def look(self, session_uid, question):
        storage = self

        class Reader:
            def __getattr__(self, name):
                def ask(*arguments, **keywords):
                    with storage.read(session_uid) as reader:
                        return getattr(reader, name)(*arguments, **keywords)

                return ask

        return question(Reader())


class LooksElsewhere(MemoryStorage):
    def look(self, session_uid, question):
        return super().look("elsewhere", question)


def test_a_look_of_two_views_is_caught():
    Views().test_s85_look(LooksTwice())
    with pytest.raises(AssertionError):
        Views().test_s86_look_is_consistent(LooksTwice())


def test_a_look_at_another_session_is_caught():
    with pytest.raises(AssertionError):
        Views().test_s85_look(LooksElsewhere())


class Foreseeing(MemoryStorage):
    """Reads what is foreseen when the session is opened, and does not keep in step with writes.

    Attributes:
        look_ups: of which that is so.
    """

    look_ups = ()

    @contextmanager
    def foreseeing(self, session_uid, manager_name, foresee):
        asked = foresee(Configuration())
        with self.transaction(session_uid, manager_name) as unit:
            for name, several in (
                ("instance", asked.instances),
                ("waiting_for", [(each,) for each in asked.triggers]),
                ("next_number", [(each,) for each in asked.tasks]),
                ("latest_kwargs", [(asked.latest,)]),
                ("outcome", [(each,) for each in asked.events]),
            ):
                if name in self.look_ups:
                    look_up = getattr(unit, name)
                    known = {arguments: look_up(*arguments) for arguments in several}
                    setattr(unit, name, partial(self.told, known, look_up))
            yield unit

    @staticmethod
    def told(known, look_up, *arguments):
        return known[arguments] if arguments in known else look_up(*arguments)


@pytest.mark.parametrize(
    "look_up", ["instance", "waiting_for", "next_number", "latest_kwargs", "outcome"]
)
def test_a_storage_that_does_not_see_its_writes_in_what_was_foreseen_is_caught(look_up):
    storage = Foreseeing()
    storage.look_ups = (look_up,)
    with pytest.raises(AssertionError):
        Views().test_s87_foreseen(storage, is_known=True)


@pytest.mark.parametrize("look_up", ["instance", "waiting_for"])
def test_a_storage_that_lends_what_was_foreseen_is_caught(look_up):
    storage = Foreseeing()
    storage.look_ups = (look_up,)
    with pytest.raises(AssertionError):
        Views().test_s88_foreseen_reads_are_copies(storage)


def test_a_storage_that_foresees_nothing_passes():
    for is_known in (True, False):
        Views().test_s87_foreseen(Foreseeing(), is_known=is_known)
    Views().test_s88_foreseen_reads_are_copies(Foreseeing())
