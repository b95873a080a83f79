"""What the checks' tasks write down, in a folder that every process of one machine reaches.

Each note is a file of its own, put in place whole, so that writers need no lock.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triggers_core import TaskContext


@dataclass(frozen=True)
class Note:
    """One task's word that it got this far.

    Attributes:
        step: the task's name in :mod:`triggers_conformance.tasks`, or a step of it.
        session_uid, instance_name, attempt, trigger_kwargs: as the task's context has them.
        pid: the process.
        at: seconds since the epoch.
    """

    step: str
    session_uid: str
    instance_name: str
    attempt: int
    trigger_kwargs: dict[str, Any]
    pid: int
    at: float
    said: Any = None


def write_note(folder: str | Path, step: str, context: TaskContext, said: Any = None) -> None:
    """Write that the task got to the step; ``said`` is any further JSON value."""
    note = Note(
        step=step,
        session_uid=context.instance.session_uid,
        instance_name=context.instance.name,
        attempt=context.attempt,
        trigger_kwargs=context.trigger_kwargs,
        pid=os.getpid(),
        at=time.time(),
        said=said,
    )
    unfinished = Path(folder, f"{uuid.uuid4()}.unfinished")
    unfinished.write_text(json.dumps(asdict(note)), encoding="utf-8")
    unfinished.replace(unfinished.with_suffix(".note"))


def read_notes(folder: str | Path) -> list[Note]:
    """Return the notes so far, oldest first."""
    texts = [path.read_text(encoding="utf-8") for path in Path(folder).glob("*.note")]
    return sorted((Note(**json.loads(text)) for text in texts), key=lambda note: note.at)
