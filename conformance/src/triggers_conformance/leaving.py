"""A process that dispatches and leaves, as a script does that fires at its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from triggers_conformance.bench import Bench
from triggers_conformance.harness import RunnerHarness
from triggers_conformance.runner.steps import each_go

LEAVING = "leaving"
"""The file by which the process says that it has dispatched all and now leaves: it holds the
folder of the tasks' notes."""

_benches: list[Bench] = []
"""Not closed: an application that just ends closes nothing."""


def dispatch_and_leave(
    conformance: type[RunnerHarness], folder: Path, count: int, timeout: float
) -> None:
    """Dispatch instances that run until the file ``gate`` is in the folder, and return."""
    (folder / "store").mkdir()
    bench = Bench(conformance, folder / "store", timeout)
    _benches.append(bench)
    session = bench.session(each_go("wait_for_gate"))
    for _ in range(count):
        # In the main thread, as threads that a daemon starts are daemons too by default.
        session.fire_unwatched("go", gate=str(folder / "gate"), timeout=timeout)
    unfinished = folder / f"{LEAVING}.unfinished"
    unfinished.write_text(str(session.folder), encoding="utf-8")
    unfinished.replace(folder / LEAVING)


@contextmanager
def leaving_process(
    bench: Bench, folder: Path, count: int, timeout: float
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """Keep such a process until the body is left; yields it, and a function that returns what it
    has written to its standard output and error."""
    import_line, expression = bench.conformance.as_written()
    script = folder / "dispatch_and_leave.py"
    script.write_text(
        "from pathlib import Path\n\n"
        f"{import_line}\n"
        f"from {__name__} import dispatch_and_leave\n\n"
        'if __name__ == "__main__":\n'
        f"    dispatch_and_leave({expression}, Path({str(folder)!r}), {count}, {timeout!r})\n",
        encoding="utf-8",
    )
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and what was written above
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONPATH": _python_path(bench), "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process, lambda: log.read_text(encoding="utf-8", errors="replace")
    finally:
        process.kill()
        process.wait()


def _python_path(bench: Bench) -> str:
    """Return where modules are found in this process, and at the end where the harness is found,
    which pytest may have imported from a file that is on no path."""
    folders = list(sys.path)
    name = type(bench.conformance).__module__
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is not None:
        folders.append(str(Path(file).resolve().parents[name.count(".")]))
    return os.pathsep.join(folders)
