"""One round: the processes run while faults strike, then undisturbed until all is done."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import kinds
import verdict
from proxy import Proxy
from rounds import Round
from servers import (
    COMMITTED,
    POSTGRESQL_PORT,
    RABBITMQ_PORT,
    REDIS_PORT,
    OwnRedis,
    Schema,
    broker_url,
    forget_queue,
)
from settings import NAME_VARIABLE, VARIABLE, Settings
from verdict import FEEDS, WORKER

from triggers_core import Plugins, Storage, StorageError
from triggers_core.rules.instance import ACTIVE

HERE = Path(__file__).parent
RECOVERER = "recoverer"
SKEWS = ((FEEDS[0], -60.0), (RECOVERER, 60.0))
"""Where clocks are wrong from the start."""

RAGE_SECONDS = 60.0
"""How long a round waits for its faults to strike."""
HEALING_SECONDS = 120.0
STUCK_SECONDS = 25.0
"""Without any claim or execution, after which nothing more will come. Longer than a slow task, a
lease and a recovery's hold one after another."""
FROZEN_SECONDS = 6.0
"""Longer than a lease."""
ANSWER_SECONDS = 5.0
POLL_SECONDS = 0.05
LOOK_SECONDS = 0.3


def run(this: Round) -> None:
    """Let the planned faults strike; heal; look for what is wrong."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        stage = Stage(this, Path(folder))
        try:
            stage.rage()
            stage.heal()
            this.faults = len(stage.settings.journal("struck"))
            verdict.look(stage.settings, stage.storage, this)
            if this.problems:
                this.log = stage.log_tail()
        finally:
            stage.close()
    this.seconds = time.monotonic() - began


class Stage:
    """The servers, files and processes of one round."""

    def __init__(self, this: Round, folder: Path) -> None:
        self.round = this
        self.plan = this.plan()
        self._folder = folder
        self._log = (folder / "log").open("ab")
        self._closing = contextlib.ExitStack()
        self._closing.callback(self._log.close)
        self._proxy: Proxy | None = None
        self._redis: OwnRedis | None = None
        self._schema: Schema | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._fed: set[str] = set()
        queue = f"faults-{uuid.uuid4().hex}"
        self.storage: Storage
        self.settings = Settings(
            folder=str(folder),
            seed=f"{this.seed} {this.turn}",
            storage_url=self._open_storage(),
            runner=this.runner,
            broker_url=self._open_broker(queue),
            queue=queue,
            fault=this.fault,
            plan=self.plan.arrivals,
            skews=SKEWS if this.fault == kinds.CLOCKS else (),
            without=this.without,
        )
        self.settings.save()
        self._closing.callback(self._kill_all)

    def rage(self) -> None:
        """Keep every process up until all planned faults have struck."""
        for name in self._commands():
            self._start(name)
        strikes = iter(self.plan.strikes)
        planned = len(self.plan.arrivals) + len(self.plan.strikes)
        pause, pick = next(strikes, (0.0, 0.0))
        give_up = time.monotonic() + RAGE_SECONDS
        strike_at = None
        while len(self.settings.journal("struck")) < planned and time.monotonic() < give_up:
            self._keep_up()
            if strike_at is None and self.settings.journal("ran"):
                strike_at = time.monotonic() + pause
            if self.plan.strikes and strike_at is not None and time.monotonic() > strike_at:
                if self._strike(pick):
                    self.settings.note("struck")
                    pause, pick = next(strikes, (0.0, 0.0))
                strike_at = time.monotonic() + pause
            time.sleep(POLL_SECONDS)

    def heal(self) -> None:
        """Feed no more, and keep every process up until all is done or nothing is done any more."""
        self.settings.stop.touch()
        give_up = time.monotonic() + HEALING_SECONDS
        stuck_at = time.monotonic() + STUCK_SECONDS
        noted = -1
        while time.monotonic() < min(give_up, stuck_at):
            self._keep_up()
            if len(self._fed) == len(FEEDS) and self._is_done():
                return
            if noted != (noted := self.settings.size()):
                stuck_at = time.monotonic() + STUCK_SECONDS
            if time.monotonic() >= stuck_at and WORKER in self._processes and not self.round.deaf:
                self._restart_deaf_worker()
                stuck_at = time.monotonic() + STUCK_SECONDS
            time.sleep(LOOK_SECONDS)

    def _restart_deaf_worker(self) -> None:
        """Do what an operator does when messages wait and the worker takes none: Celery's may come
        out of a broker's restart so. Nothing may be lost by it, but no framework can wake it."""
        self.round.deaf = 1
        self._kill(self._processes[WORKER])
        self._start(WORKER)

    def close(self) -> None:
        self._closing.close()

    def log_tail(self) -> str:
        """Return the last that the processes said."""
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    def _commands(self) -> dict[str, list[str]]:
        """Return the processes that must be there: name → command."""
        commands = {name: [sys.executable, str(HERE / "feed.py")] for name in FEEDS}
        commands[RECOVERER] = [sys.executable, str(HERE / "recoverer.py")]
        if self.round.runner != "threading":
            # RabbitMQ lets two workers of one name not live beside each other, nor shortly after.
            worker = f"-m celery -q -A celery_app worker -I shop -n {uuid.uuid4().hex}@%h"
            worker += " --pool prefork -c 3 -l WARNING"
            options = "--without-gossip --without-mingle --without-heartbeat"
            commands[WORKER] = [sys.executable, *worker.split(), *options.split()]
        return commands

    def _start(self, name: str) -> None:
        environment = {VARIABLE: str(self._folder), NAME_VARIABLE: name, "PYTHONPATH": str(HERE)}
        if inherited := os.environ.get("PYTHONPATH"):
            environment["PYTHONPATH"] += os.pathsep + inherited
        self._processes[name] = subprocess.Popen(
            self._commands()[name],
            cwd=HERE,
            env={**os.environ, **environment},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _keep_up(self) -> None:
        """Start again what was killed, and note what ended by itself."""
        for name, process in list(self._processes.items()):
            if name in self._fed or process.poll() is None:
                continue
            if name in FEEDS and process.returncode == 0:
                self._fed.add(name)
                continue
            if process.returncode != -signal.SIGKILL:
                self.settings.note("ended", name=name, code=process.returncode)
            self._kill(process)  # the children that it left
            self._start(name)

    def _strike(self, pick: float) -> bool:
        """Let a fault strike from outside; return whether it struck anything."""
        return {
            kinds.KILLED: lambda: self._kill_one(pick),
            kinds.FROZEN: lambda: self._freeze_one(pick),
            kinds.CUT: lambda: self._via_proxy().cut(),
            kinds.REDIS_RESTARTED: lambda: self._restart_redis(with_data=True),
            kinds.REDIS_EMPTIED: lambda: self._restart_redis(with_data=False),
            kinds.TERMINATED: lambda: self._in_schema().terminate_connections(),
            kinds.UNANSWERED: lambda: self._via_proxy().cut_instead_of(COMMITTED, ANSWER_SECONDS),
        }[self.round.fault]()

    def _kill_one(self, pick: float) -> bool:
        """Kill a process with all its children, or one child of the worker."""
        name = self._pick([*self._live(), *(["child"] if WORKER in self._live() else [])], pick)
        if name != "child":
            self._kill(self._processes[name])
            return True
        children = _children(self._processes[WORKER].pid)
        if not children:
            return False
        child = self._pick(children, pick)
        self.settings.note("gone", gone=child)
        os.kill(child, signal.SIGKILL)
        return True

    def _freeze_one(self, pick: float) -> bool:
        """Stop a process that runs tasks, with its children, for longer than its lease."""
        names = [WORKER] if self.round.runner != "threading" else [*FEEDS, RECOVERER]
        process = self._processes[self._pick(names, pick)]
        self.settings.note("gone", gone=process.pid)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        os.killpg(process.pid, signal.SIGCONT)
        return True

    def _restart_redis(self, *, with_data: bool) -> bool:
        assert self._redis is not None
        self._redis.restart(with_data=with_data)
        return True

    def _via_proxy(self) -> Proxy:
        assert self._proxy is not None
        return self._proxy

    def _in_schema(self) -> Schema:
        assert self._schema is not None
        return self._schema

    def _live(self) -> list[str]:
        return [name for name, process in self._processes.items() if process.poll() is None]

    @staticmethod
    def _pick(choices: list[Any], pick: float) -> Any:
        return choices[int(pick * len(choices))]

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the process and its children, and wait until it is gone."""
        self.settings.note("gone", gone=process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _kill_all(self) -> None:
        for process in self._processes.values():
            self._kill(process)

    def _is_done(self) -> bool:
        try:
            return not any(
                instance.status in ACTIVE
                for instances, _ in verdict.sessions(self.storage).values()
                for instance in instances
            )
        except StorageError:
            return False

    def _open_storage(self) -> str:
        """Return the URL for the processes; keep a storage to look on that no fault strikes."""
        if self.round.storage == "sqlite":
            url = looked_on = f"sqlite:///{self._folder}/store.db"
        else:
            self._schema = Schema()
            self._closing.callback(self._schema.drop)
            port = POSTGRESQL_PORT
            looked_on = self._schema.url(port, "campaign")
            if self.round.fault == kinds.UNANSWERED:
                port = self._open_proxy(port)
            url = self._schema.url(port, self._schema.name)
        self.storage = Plugins().open_storage(looked_on)
        self._closing.callback(self.storage.close)
        return url

    def _open_broker(self, queue: str) -> str:
        runner, fault = self.round.runner, self.round.fault
        if runner == "threading":
            return "memory://"
        if fault in kinds.RESTARTS_REDIS:
            self._redis = OwnRedis(self._folder)
            self._closing.callback(self._redis.stop)
            return broker_url(runner, self._redis.port)
        port = REDIS_PORT if runner == "celery-redis" else RABBITMQ_PORT
        self._closing.callback(forget_queue, runner, queue)
        return broker_url(runner, self._open_proxy(port) if fault == kinds.CUT else port)

    def _open_proxy(self, port: int) -> int:
        self._proxy = Proxy(port)
        self._closing.callback(self._proxy.close)
        return self._proxy.port


def _children(leader: int) -> list[int]:
    """Return the processes that live in the group of the one that leads it."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(ProcessLookupError):
            if pid != leader and os.getpgid(pid) == leader:
                found.append(pid)
    return found
