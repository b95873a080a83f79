"""Faulty in join_all."""

import threading

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
