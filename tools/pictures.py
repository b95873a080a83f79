"""Makes the guide's pictures: from Graphviz text to SVG that suits light and dark pages.

A source is a file ``NAME.dot`` in docs/pictures, or a program ``NAME.py`` that prints such text;
the picture is docs/images/NAME.svg. ``--check`` makes nothing, and complains of pictures that are
not those of their sources.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PROGRAM = Path(sysconfig.get_path("scripts")) / "graphviz-pure"

DEFAULTS = [
    "-Gbgcolor=transparent",
    "-Gfontname=Helvetica",
    "-Gfontsize=13",
    "-Gpad=0.2",
    "-Gstyle=rounded",
    "-Nfontname=Helvetica",
    "-Nfontsize=12",
    "-Nshape=box",
    "-Nstyle=rounded",
    "-Nmargin=0.28,0.1",
    "-Efontname=Helvetica",
    "-Efontsize=10.5",
    "-Earrowsize=0.7",
]

STYLE = """<style>
svg { --paper: #ffffff; --ink: #1f2937; --line: #64748b; --faint: #f1f5f9;
  --core: #ccfbf1; --plugin: #e0e7ff; --rule: #fef3c7; --yours: #ffffff;
  font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #1e2129; --ink: #e5e7eb; --line: #94a3b8; --faint: #272b36;
    --core: #134e4a; --plugin: #312e81; --rule: #713f12; --yours: #1e2129; } }
svg text { font-family: inherit; fill: var(--ink); }
.paper { fill: var(--paper); }
.cluster path { fill: var(--faint); stroke: var(--line); }
.edge path { stroke: var(--line); }
.edge polygon { fill: var(--line); stroke: var(--line); }
.core path, .core polygon { fill: var(--core); stroke: var(--line); }
.plugin path { fill: var(--plugin); stroke: var(--line); }
.rule path { fill: var(--rule); stroke: var(--line); }
.yours path { fill: var(--yours); stroke: var(--line); }
.node.state text { fill: #111827; }
.node.bare path, .node.bare polygon, .node.bare ellipse { stroke: var(--line); }
</style>
<rect class="paper" x="0" y="0" width="100%" height="100%" rx="8"/>
"""
_HEAD = re.compile(r".*?<svg width=\"(\d+)pt\" height=\"(\d+)pt\"\s*(.*?>)\n", re.DOTALL)


def main(*, only_check: bool) -> int:
    """Make the pictures; or only say which differ from their sources. Return the exit code."""
    code = 0
    for source in _sources():
        made = picture_of(source)
        target = DOCS / "images" / f"{source.stem}.svg"
        if not only_check:
            target.write_text(made, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != made:
            print(f"{target.relative_to(DOCS.parent)} is not that of its source: make pictures")
            code = 1
    return code


def picture_of(source: Path) -> str:
    """Return the picture of a source, as SVG text."""
    text = source.read_text(encoding="utf-8") if source.suffix == ".dot" else _printed_by(source)
    drawn = subprocess.run(
        [PROGRAM, "-Tsvg", *DEFAULTS],
        input=text,
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    whole = _HEAD.sub(
        lambda head: f'<svg width="{head[1]}" height="{head[2]}" {head[3]}\n{STYLE}', drawn, count=1
    )
    coloured = re.sub(
        r'class="node">(\n<title>.*?</title>\n<\w+ fill="(?!none))', r'class="node state">\1', whole
    )
    bare = coloured.replace('class="node">', 'class="node bare">')
    return re.sub(r"<!--.*?-->\n", "", bare, flags=re.DOTALL)


def _sources() -> Iterator[Path]:
    yield from sorted((*DOCS.glob("pictures/*.dot"), *DOCS.glob("pictures/*.py")))


def _printed_by(program: Path) -> str:
    return subprocess.run(
        [sys.executable, program], capture_output=True, encoding="utf-8", check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main(only_check="--check" in sys.argv[1:]))
