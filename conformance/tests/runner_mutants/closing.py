"""Faulty in how a runner is closed."""

import threading
from concurrent.futures import ThreadPoolExecutor

from runner_mutants.bases import Sound, mutant, quietly


class Closable(Sound):
    """A pool that can be closed."""

    capabilities = frozenset()

    def __init__(self):
        self._pool = ThreadPoolExecutor(4)

    def start(self, work):
        self._pool.submit(quietly, work)

    def close(self):
        self._pool.shutdown()


@mutant("R57", "close drops what waits")
class DropsAtClose(Closable):
    def close(self):
        self._pool.shutdown(cancel_futures=True)


@mutant("R57", "close waits for ever, for a worker that waits for more work")
class WaitsAtClose(Closable):
    def close(self):
        super().close()
        threading.Event().wait()


@mutant("R58", "all runners of the class have one pool, and close it")
class SharesPool(Closable):
    _shared = None

    def __init__(self):
        if SharesPool._shared is None:
            SharesPool._shared = ThreadPoolExecutor(4)
        self._pool = SharesPool._shared
