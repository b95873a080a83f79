"""The questionnaire again, its steps run by a Celery worker: a process of its own, no server."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import demo
import insurance
from celery.signals import worker_init, worker_ready
from insurance_app import BROKER, app  # noqa: F401 - the app is for the worker

from triggers_core import Status, TriggerManager, default_plugins

DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.05
STARTED, READY, LOG = "QUESTIONNAIRE_STARTED", Path("ready"), Path("worker.log")


class Narrator(demo.Narrator):
    """Tells which process it hears of things in: either has its own."""

    def __init__(self, process: str, started: float) -> None:
        self.process = process
        self.started = started

    def tell(self, line: str) -> None:
        super().tell(f"[dim]{self.process:11}[/]  {line}")


@worker_init.connect
def narrate(**_: Any) -> None:
    default_plugins().register(Narrator("worker", float(os.environ[STARTED])))


@worker_ready.connect
def tell_that_it_is_ready(**_: Any) -> None:
    READY.write_text(str(os.getpid()))


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the worker is stopped
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(100)
    events = random.Random(seed).sample(insurance.EVENTS, k=len(insurance.EVENTS))
    demo.console.print(f"seed {seed}: {', '.join(name for name, _ in events)}\n")

    narrator = Narrator("application", time.monotonic())
    default_plugins().register(narrator)
    with working_folder(), worker(narrator.started) as worker_runs:
        wait_for(READY.exists, "the worker to be ready", worker_runs)
        narrator.tell("the worker is ready")
        manager = TriggerManager("form 2026-42")
        manager.update_configuration(insurance.CONFIGURATION)

        for trigger_name, trigger_kwargs in events:
            manager.fire(trigger_name, trigger_kwargs)
            time.sleep(demo.EVENT_SECONDS)
        wait_for(lambda: not active(manager), "the last steps to end", worker_runs)
        demo.show(manager)
        if unresolved := manager.unresolved_instances():
            sys.exit(f"these steps went wrong: {', '.join(step.name for step in unresolved)}")
        manager.storage.close()


@contextmanager
def working_folder() -> Iterator[None]:
    """Work in a temporary folder, which has the store and the broker."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in BROKER.values():
            Path(name).mkdir(exist_ok=True)
        os.environ["TRIGGERS_STORAGE"] = "sqlite:///forms.db"
        try:
            yield
        finally:
            os.chdir(before)


@contextmanager
def worker(started: float) -> Iterator[Callable[[], bool]]:
    """Start ``celery worker``, as a service would; yield what tells whether it runs; stop it."""
    environment = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TMPDIR": str(Path.cwd()),
        STARTED: str(started),
    }
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--quiet", "--app", "demo_celery", "worker"),
                *("--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the application, which then stops it
        )
    try:
        yield lambda: process.poll() is None
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Let the worker finish what it runs, and end."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(DEADLINE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # whatever did not end with it
    if process.wait() != 0:
        sys.exit(f"the worker ended with {process.returncode}; its log:\n{LOG.read_text()}")


def wait_for(condition: Callable[[], bool], what: str, worker_runs: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if not worker_runs() or time.monotonic() > deadline:
            sys.exit(f"waited in vain for {what}; the worker's log:\n{LOG.read_text()}")
        time.sleep(POLL_SECONDS)


def active(manager: TriggerManager) -> bool:
    return bool(manager.instances(statuses=[Status.SCHEDULED, Status.RUNNING]))


if __name__ == "__main__":
    main()
