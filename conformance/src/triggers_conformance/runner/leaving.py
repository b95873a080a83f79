"""A process that dispatches and leaves, as a script does that fires at its end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

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
    name = re.split(r"\W", expression, maxsplit=1)[0]
    module, file = _where(type(bench.conformance))
    script = folder / "dispatch_and_leave.py"
    script.write_text(
        "from pathlib import Path\n\n"
        f"from {__name__} import dispatch_and_leave, from_file\n\n"
        f"try:\n    {import_line}\n"
        f"except ImportError:\n    {name} = from_file({module!r}, {file!r}).{name}\n\n"
        'if __name__ == "__main__":\n'
        f"    dispatch_and_leave({expression}, Path({str(folder)!r}), {count}, {timeout!r})\n",
        encoding="utf-8",
    )
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and what was written above
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process, lambda: log.read_text(encoding="utf-8", errors="replace")
    finally:
        process.kill()
        process.wait()


def from_file(module_name: str, file: str) -> ModuleType:
    """Return the module in the file, which pytest may have imported by a name of its own."""
    spec = spec_from_file_location(module_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[module_name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _where(conformance: type) -> tuple[str, str]:
    """Return the name of the module that the harness is in, and its file."""
    name = conformance.__module__
    return name, str(getattr(sys.modules.get(name), "__file__", ""))
