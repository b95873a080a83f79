"""Faulty in whose turn it is."""

import queue
import threading
from collections import OrderedDict, defaultdict, deque
from functools import lru_cache

from runner_mutants.bases import Pool, Sound, mutant, quietly


@mutant("R46", "its workers take what came last")
class LastComesFirst(Pool):
    def __init__(self):
        super().__init__()
        self._queue = queue.LifoQueue()
        for _ in range(self.workers):
            threading.Thread(target=self.work, daemon=True).start()


@mutant("R46", "a worker stays with a session while that has work")
class StaysWithSession(Sound):
    workers = 4

    def __init__(self):
        self._lanes = defaultdict(deque)
        self._changed = threading.Condition()
        for _ in range(self.workers):
            threading.Thread(target=self.work, daemon=True).start()

    def run(self, manager, task_instance):
        with self._changed:
            self._lanes[manager.session_uid].append((manager, task_instance))
            self._changed.notify()

    def work(self):
        uid = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lanes)
                uid = uid if uid in self._lanes else next(iter(self._lanes))
                lane = self._lanes[uid]
                given = lane.popleft()
                if not lane:
                    del self._lanes[uid]
            quietly(lambda given=given: self.execute(*given))


@mutant("R46", "small tasks, by their number, go before all others")
class LowNumbersLast(Pool):
    def __init__(self):
        super().__init__()
        self._queue = queue.PriorityQueue()
        self._order = iter(range(10**9))
        for _ in range(self.workers):
            threading.Thread(target=self.work, daemon=True).start()

    def run(self, manager, task_instance):
        priority = (-task_instance.number, next(self._order))
        self._queue.put((*priority, lambda: self.execute(manager, task_instance)))

    def work(self):
        while True:
            quietly(self._queue.get()[-1])


@mutant("R47", "it knows what waits by the instance's name alone")
class PendingByName(Pool):
    def __init__(self):
        self._pending = {}
        super().__init__()

    def run(self, manager, task_instance):
        self._pending[task_instance.name] = (manager, task_instance)
        self._queue.put(task_instance.name)

    def work(self):
        while True:
            given = self._pending.pop(self._queue.get(), None)
            if given is not None:
                quietly(lambda given=given: self.execute(*given))


@mutant("R47", "what waits already, by session and name, is taken for a duplicate")
class DropsNamesakes(Pool):
    def __init__(self):
        self._waiting = set()
        super().__init__()

    def run(self, manager, task_instance):
        key = (manager.session_uid, task_instance.name, task_instance.attempt)
        if key not in self._waiting:
            self._waiting.add(key)
            self._queue.put((key, manager, task_instance))

    def work(self):
        while True:
            key, *given = self._queue.get()
            self._waiting.discard(key)
            quietly(lambda given=given: self.execute(*given))


@mutant("R47", "of more than 128 sessions' lanes it closes the oldest, with what is in it")
class BoundedLanes(Pool):
    bound = 128

    def __init__(self):
        self._lanes = OrderedDict()
        self._lock = threading.Lock()
        super().__init__()

    def run(self, manager, task_instance):
        uid = manager.session_uid
        with self._lock:
            self._lanes.setdefault(uid, deque()).append((manager, task_instance))
            self._lanes.move_to_end(uid)
            if len(self._lanes) > self.bound:
                self._lanes.popitem(last=False)
        self.start(lambda: self.execute_next(uid))

    def execute_next(self, uid):
        with self._lock:
            lane = self._lanes.get(uid)
            given = lane.popleft() if lane else None
            if not lane:
                self._lanes.pop(uid, None)
        if given is not None:
            self.execute(*given)


@mutant("R47", "messages have ids that begin again after a hundred")
class ShortIds(Pool):
    def __init__(self):
        self._last = 0
        self._lock = threading.Lock()
        self._pending = {}
        super().__init__()

    def run(self, manager, task_instance):
        with self._lock:
            self._last = (self._last + 1) % 100
            self._pending[self._last] = (manager, task_instance)
            self._queue.put(self._last)

    def work(self):
        while True:
            given = self._pending.pop(self._queue.get(), None)
            if given is not None:
                quietly(lambda given=given: self.execute(*given))


@mutant("R38", "it keeps one manager for each session uid, whatever its class and storage")
class OneManagerEach(Sound):
    def __init__(self):
        self.manager_of = lru_cache(lambda uid: self._given)

    def run(self, manager, task_instance):
        self._given = manager
        super().run(self.manager_of(manager.session_uid), task_instance)
