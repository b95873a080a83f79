"""What the processes of one round share: its settings, its journal, its count of arrivals.

All of it is in one folder. A line of the journal and a count are one write each; but whoever reads
the journal meanwhile may see the first part of its last line alone.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VARIABLE = "FAULTS_FOLDER"
NAME_VARIABLE = "FAULTS_PROCESS"
"""What the process is called in :meth:`stage.Stage.commands`."""

_real_time = time.time  # the processes' own clock may be set wrong


@dataclass(frozen=True)
class Settings:
    """One round, as its processes see it.

    Attributes:
        folder: where the round keeps its files.
        seed: decides the order in which triggers fire.
        storage_url, runner, broker_url, queue: what is under test.
        fault: the kind of fault that strikes.
        plan: which arrivals at the fault's point it strikes, counted over all processes.
        skews: seconds by which the clock of each process is wrong.
        without: the protections taken out, see :mod:`sabotage`.
    """

    folder: str
    seed: str
    storage_url: str
    runner: str
    broker_url: str
    queue: str
    fault: str
    plan: tuple[int, ...] = ()
    skews: tuple[tuple[str, float], ...] = ()
    without: tuple[str, ...] = ()

    @classmethod
    def load(cls) -> Settings:
        """Return the settings of the round that this process belongs to."""
        values = json.loads((Path(os.environ[VARIABLE]) / "settings.json").read_text())
        values["skews"] = tuple(map(tuple, values["skews"]))
        return cls(**{**values, "plan": tuple(values["plan"])})

    def save(self) -> None:
        (self.path("settings.json")).write_text(json.dumps(asdict(self)))

    def path(self, name: str) -> Path:
        return Path(self.folder) / name

    def note(self, event: str, **fields: Any) -> None:
        """Append a line to the journal."""
        line = json.dumps({"event": event, "at": _real_time(), "pid": os.getpid(), **fields})
        _append(self.path("journal"), f"{line}\n".encode())

    def journal(self, event: str) -> list[dict[str, Any]]:
        """Return what was noted of an event, oldest first, but for a line half written yet."""
        path = self.path("journal")
        *lines, _unfinished = path.read_text().split("\n") if path.exists() else [""]
        return [noted for noted in map(json.loads, lines) if noted["event"] == event]

    def size(self) -> int:
        """Return the journal's size in bytes."""
        path = self.path("journal")
        return path.stat().st_size if path.exists() else 0

    def arrive(self) -> int:
        """Count one more arrival at the fault's point; return which it is, from 1."""
        return _append(self.path("arrivals"), b".")

    @property
    def stop(self) -> Path:
        """Exists once no more is to be fed."""
        return self.path("stop")

    def progress(self, feed: str) -> tuple[int, int]:
        """Return the wave of sessions that a feed is at, and how much of it is done; (0, 0) for
        one that has not begun."""
        path = self.path(feed)
        wave, done = path.read_text().split() if path.exists() else (0, 0)
        return int(wave), int(done)

    def keep_progress(self, feed: str, wave: int, done: int) -> None:
        """Whoever is killed in it leaves what was kept before."""
        new = self.path(f"{feed}, new")
        new.write_text(f"{wave} {done}")
        new.replace(self.path(feed))


def _append(path: Path, content: bytes) -> int:
    """Append in one write; return the file's size at its end."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, content)
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)
