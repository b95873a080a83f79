"""Faulty in what is left of work that has ended."""

import logging
import os
import signal
import socket
import threading
from contextvars import copy_context

from runner_mutants.bases import Pool, Sound, mutant, quietly
from triggers_core.worker.execution import _execute


@mutant("R53", "it keeps the results of all that it ran")
class KeepsResults(Sound):
    def __init__(self):
        self._results = {}

    def execute(self, manager, task_instance):
        ended = super().execute(manager, task_instance)
        self._results[manager.session_uid, task_instance.name] = ended
        return ended


@mutant("R53", "it keeps a manager for each session")
class KeepsManagers(Sound):
    def __init__(self):
        self._managers = {}

    def run(self, manager, task_instance):
        self._managers[manager.session_uid] = manager
        super().run(manager, task_instance)


@mutant("R53", "it keeps a thread for each session")
class KeepsLanes(Sound):
    def __init__(self):
        self._lanes = {}
        self._lock = threading.Lock()

    def run(self, manager, task_instance):
        with self._lock:
            lane = self._lanes.setdefault(manager.session_uid, Lane())
        lane.start(lambda: self.execute(manager, task_instance))


class Lane(Pool):
    workers = 1


@mutant("R54", "its threads run in the context of whoever came first")
class FirstCallersContext(Pool):
    _context = None

    def start(self, work):
        self._context = self._context or copy_context()
        super().start(lambda: self._context.copy().run(work))


@mutant("R54", "it runs one task after the other in one context")
class OneContext(Pool):
    def execute(self, manager, task_instance):
        return _execute(manager, task_instance, self.resolve)


@mutant("R55", "it takes SIGTERM over to close in order")
class TakesSignals(Sound):
    def __init__(self):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: quietly(exit))


@mutant("R55", "it sets up logging")
class SetsUpLogging(Sound):
    def __init__(self):
        logging.basicConfig(level=logging.INFO, force=True)


@mutant("R55", "it sets a timeout for every socket of the process")
class SetsSocketTimeout(Sound):
    def __init__(self):
        socket.setdefaulttimeout(30)


@mutant("R55", "it leaves its mark in the environment")
class SetsEnvironment(Sound):
    def run(self, manager, task_instance):
        os.environ["MUTANT_SESSION"] = manager.session_uid
        super().run(manager, task_instance)
