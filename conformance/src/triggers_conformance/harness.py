"""How a runner is tried: its name, its worker, its store. What an author overrides stands here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

from triggers_conformance.rules import not_checked
from triggers_core import BaseTaskRunner, Plugins, SqliteStorage, Storage, TriggerManager

DEFAULT_TIMEOUT = 30.0


class RunnerHarness:
    """One runner, and what its engine needs to be tried.

    Attributes:
        runner_name: what the runner is registered as.
        runner_class: the class, where it has no entry point (yet).
        timeout: at most so many seconds for each single thing waited for; less, once tasks were
            seen to run fast. The option ``--triggers-timeout`` overrides it. It costs nothing while
            all is well.
        examples: random sessions that check M1 runs.
    """

    runner_name: ClassVar[str]
    runner_class: ClassVar[type[BaseTaskRunner] | None] = None
    timeout: ClassVar[float] = DEFAULT_TIMEOUT
    examples: ClassVar[int] = 30

    @classmethod
    def as_written(cls) -> tuple[str, str]:
        """Return the line that imports this class, and the expression that names it."""
        return f"from {cls.__module__} import {cls.__qualname__}", cls.__qualname__

    def worker(
        self, folder: Path, environment: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        """Return a context manager that keeps the engine's worker running.

        Entered once for all checks, before the runner is built; left after the last.

        Args:
            folder: empty, the engine's own to use.
            environment: what worker processes need on top of ``os.environ`` to find the store.
        """
        return nullcontext()

    def storage_url(self, folder: Path) -> str:
        """Return where the sessions are kept; a store that this process and the worker reach."""
        return sqlite_url(folder)

    def open_storage(self, url: str, plugins: Plugins) -> Storage:
        """Return that store, open in the process that fires."""
        storage = plugins.open_storage(url)
        if isinstance(storage, SqliteStorage):
            # It is thrown away after the checks, so it need not outlive a power failure.
            return SqliteStorage(storage.path, synchronous="NORMAL")
        return storage

    def make_plugins(self) -> Plugins:
        """Return the plugins of the process that fires: all entry points, unless overridden.

        Overridden, it can build the runner with arguments (``plugins.use_runner``).
        """
        plugins = Plugins()
        if self.runner_class is not None:
            plugins.use_runner(self.runner_class())
        return plugins

    def make_manager(self, session_uid: str, storage: Storage, plugins: Plugins) -> TriggerManager:
        """Return a session's manager, of a class that the worker knows by its name too."""
        return TriggerManager(session_uid, storage=storage, plugins=plugins)

    def refusing(self, runner: Any) -> AbstractContextManager[object]:
        """Return a context manager in which the engine accepts no work (a broker that is down,
        a pool that is closed). Without it, R20 is not checked."""
        not_checked(
            "say in your subclass of RunnerConformance how the engine refuses work:\n"
            "    @contextmanager\n"
            "    def refusing(self, runner):\n"
            "        with a_broker_that_is_down(): yield"
        )


def sqlite_url(folder: Path) -> str:
    """Return the URL of a SQLite store in the folder."""
    return f"sqlite:///{folder / 'conformance.db'}"
