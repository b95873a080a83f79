"""Every benchmark: `make bench`, or `python benchmarks/suite.py fire hooks` for some."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import batch
import blob
import counted
import fire
import growth
import hooks
import imports
import report
import threads
import workers
from measure import Row, Scale, Skipped, measure

MODULES: dict[str, ModuleType] = {
    module.__name__: module
    for module in (fire, growth, counted, threads, workers, blob, hooks, batch, imports)
}
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(MODULES))
    parser.add_argument("--tiny", action="store_true", help="only see that everything runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - MODULES.keys())
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(MODULES)}")
    rows: list[Row] = []
    skipped: list[Skipped] = []
    for name in options.names or MODULES:
        with tempfile.TemporaryDirectory() as folder:
            scale = Scale(Path(folder), options.tiny)
            for found in MODULES[name].subjects(scale):
                if isinstance(found, Skipped):
                    skipped.append(found)
                    continue
                print(f"{found.name} …", file=sys.stderr)
                rows.extend([found] if isinstance(found, Row) else measure(found, scale))
    report.show(rows, skipped)
    for path in report.write(rows, skipped, options.results):
        print(path)


if __name__ == "__main__":
    main()
