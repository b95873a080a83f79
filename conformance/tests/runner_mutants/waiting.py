"""Faulty in join_all."""

import threading
from concurrent.futures import ThreadPoolExecutor

from runner_mutants.bases import Joinable, Sound, mutant, quietly


@mutant("C1", "join_all returns at once")
class JoinsNothing(Joinable):
    def join_all(self, timeout=None):
        pass


@mutant("C1", "join_all waits for what runs at the call, and not for its cascade")
class JoinsThreads(Sound):
    capabilities = frozenset({"join"})

    def __init__(self):
        self._threads = []

    def start(self, work):
        thread = threading.Thread(target=quietly, args=(work,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join_all(self, timeout=None):
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(timeout)


@mutant("C2", "join_all returns at its timeout as if all were done")
class JoinsSilently(Joinable):
    def join_all(self, timeout=None):
        try:
            super().join_all(timeout)
        except TimeoutError:
            return


@mutant("C2", "join_all pays no attention to its timeout")
class JoinsForEver(Joinable):
    def join_all(self, timeout=None):
        super().join_all()


@mutant("C3", "join_all in a task waits for that task")
class JoinsItself(Joinable):
    def join_all(self, timeout=None):
        self._own.clear()
        super().join_all(timeout)


@mutant("C4", "join_all waits for an end that was seen before")
class JoinsOnce(Joinable):
    def join_all(self, timeout=None):
        with self._changed:
            if not self._changed.wait(timeout):
                raise TimeoutError


@mutant("C10", "join_all waits for each thread as long as for all")
class TimeoutsAddUp(Sound):
    capabilities = frozenset({"join"})

    def __init__(self):
        self._futures = []
        self._pool = ThreadPoolExecutor(4)
        self._own = threading.local()

    def start(self, work):
        self._futures.append(self._pool.submit(self.note_own, work))

    def note_own(self, work):
        self._own.is_set = True
        quietly(work)

    def join_all(self, timeout=None):
        if getattr(self._own, "is_set", False):
            raise RuntimeError("a task waits for itself")
        is_late = False
        while self._futures:
            waited, self._futures = self._futures, []
            for future in waited:
                try:
                    future.result(timeout)
                except TimeoutError:
                    is_late = True
                    self._futures.append(future)
            if is_late:
                raise TimeoutError


@mutant("C11", "join_all raises what work has raised")
class JoinRaises(Joinable):
    def __init__(self):
        super().__init__()
        self._errors = []

    def start(self, work):
        super().start(lambda: self.note_error(work))

    def note_error(self, work):
        try:
            work()
        except BaseException as error:
            self._errors.append(error)

    def join_all(self, timeout=None):
        super().join_all(timeout)
        if self._errors:
            raise self._errors.pop()
