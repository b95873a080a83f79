"""What is lost is taken up by one, the longest lost first."""

from __future__ import annotations

import itertools
from dataclasses import replace

from triggers_conformance.storage.elsewhere import in_threads
from triggers_conformance.storage.samples import SESSION, THREADS
from triggers_conformance.storage.steps import instances_of, keep, save_lost
from triggers_core import Status, Storage


class LostWork:
    """Checks S60 to S65."""

    def test_s60_lost_taken(self, storage: Storage) -> None:
        """S60: ``take_lost`` gives the instances whose ``recover_at`` is past, with their
        manager's name, of all sessions, the longest lost first."""
        now = storage.now()
        lost = [
            save_lost(storage, f"session {number}", recover_at=now - ago)
            for number, ago in enumerate((5.0, 50.0, 0.5))
        ]
        taken = storage.take_lost(limit=10, hold_until=now + 100.0)
        assert [(item.manager_name, item.instance) for item in taken] == [
            (f"manager of session {number}", replace(lost[number], recover_at=now + 100.0))
            for number in (1, 0, 2)
        ]

    def test_s61_others_left(self, storage: Storage) -> None:
        """S61: an instance that is not lost yet, or has no time at which it would be, is left."""
        now = storage.now()
        later = save_lost(storage, "later", recover_at=now + 1000.0)
        never = save_lost(storage, "never", recover_at=None)
        assert storage.take_lost(limit=10, hold_until=now + 100.0) == []
        assert instances_of(storage, "later") == [later]
        assert instances_of(storage, "never") == [never]

    def test_s62_limit(self, storage: Storage) -> None:
        """S62: ``take_lost`` gives no more than its limit, and the others to whoever asks next."""
        now = storage.now()
        for number in range(3):
            save_lost(storage, f"session {number}", recover_at=now - 10.0 + number)
        taken = [
            [item.instance.session_uid for item in storage.take_lost(limit=2, hold_until=now + 100)]
            for _ in range(3)
        ]
        assert taken == [["session 0", "session 1"], ["session 2"], []]

    def test_s63_held(self, storage: Storage) -> None:
        """S63: what was taken is kept with its new ``recover_at``, is nobody else's before that
        time, and is lost again after it."""
        now = storage.now()
        lost = save_lost(storage, SESSION, recover_at=now - 5.0)
        [first] = storage.take_lost(limit=10, hold_until=now - 1.0)
        assert instances_of(storage) == [replace(lost, recover_at=now - 1.0)] == [first.instance]
        [second] = storage.take_lost(limit=10, hold_until=now + 100.0)
        assert instances_of(storage) == [replace(lost, recover_at=now + 100.0)] == [second.instance]
        assert storage.take_lost(limit=10, hold_until=now + 200.0) == []

    def test_s64_taken_once(self, storage: Storage) -> None:
        """S64: of all who ask at once, one is given the instance."""
        now = storage.now()
        uids = [f"session {number:02}" for number in range(20)]
        for uid in uids:
            save_lost(storage, uid, recover_at=now - 5.0)

        def take(_: int) -> list[str]:
            taken = []
            while found := storage.take_lost(limit=3, hold_until=now + 1000.0):
                taken += [item.instance.session_uid for item in found]
            return taken

        taken = itertools.chain.from_iterable(in_threads(THREADS, take))
        assert sorted(taken) == uids

    def test_s65_recovered(self, storage: Storage) -> None:
        """S65: an instance that went on is no longer lost."""
        now = storage.now()
        lost = save_lost(storage, SESSION, recover_at=now - 5.0)
        keep(storage, replace(lost, status=Status.FINISHED, recover_at=None))
        assert storage.take_lost(limit=10, hold_until=now + 100.0) == []
