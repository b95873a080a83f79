"""What is lost is taken up by one, the longest lost first."""

from __future__ import annotations

import itertools
from dataclasses import replace

from triggers_conformance.storage.elsewhere import in_threads
from triggers_conformance.storage.samples import DAY_SECONDS, SESSION, THREADS
from triggers_conformance.storage.steps import instances_of, keep, save_lost
from triggers_core import Status, Storage, TaskInstance
from triggers_core.storage.base import HeldLease


class LostWork:
    """Checks S60 to S65, S83 and S84."""

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

    def test_s83_leases_renewed(self, storage: Storage) -> None:
        """S83: ``renew_leases`` sets the ``recover_at`` of those of the instances that run, of all
        sessions, each by its own time from now, and changes nothing else."""
        now = storage.now()
        held = [save_lost(storage, uid, recover_at=now - 5.0) for uid in ("one", "two", "three")]
        scheduled = replace(held[2], status=Status.SCHEDULED)
        keep(storage, scheduled)
        unheld = save_lost(storage, "four", recover_at=now + 1.0)

        storage.renew_leases([])
        storage.renew_leases([lease_of(held[0], 100.0), lease_of(held[1], DAY_SECONDS)])
        storage.renew_leases([lease_of(scheduled, 100.0)])

        for instance, seconds in ((held[0], 100.0), (held[1], DAY_SECONDS)):
            [renewed] = instances_of(storage, instance.session_uid)
            assert renewed.recover_at is not None
            assert now + seconds <= renewed.recover_at <= storage.now() + seconds
            assert replace(renewed, recover_at=instance.recover_at) == instance
        assert instances_of(storage, "three") == [scheduled]
        assert instances_of(storage, "four") == [unheld]
        assert [lost.session_uid for lost in storage.take_lost(limit=9, hold_until=now + 1.0)] == [
            "three"
        ]

    def test_s84_none_keeps_another_back(self, storage: Storage) -> None:
        """S84: an instance that is no longer there keeps no other from being renewed."""
        now = storage.now()
        gone, held = (save_lost(storage, uid, recover_at=now - 5.0) for uid in ("gone", "held"))
        with storage.transaction("gone", "manager of gone") as unit:
            unit.delete()
        storage.renew_leases([lease_of(gone, 100.0), lease_of(held, 100.0)])
        assert storage.take_lost(limit=9, hold_until=now + 1.0) == []


def lease_of(instance: TaskInstance, seconds: float) -> HeldLease:
    uid = instance.session_uid
    return HeldLease(f"manager of {uid}", uid, instance.task_name, instance.number, seconds)
