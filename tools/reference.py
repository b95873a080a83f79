"""Makes triggers_core/REFERENCE.md, to be read in the repository: what the site's reference has.

``--check`` makes nothing, and complains where the file is not that of the code.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import griffe
from griffe2md import ConfigDict, render_object_docs

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs" / "reference.md"
TARGET = ROOT / "triggers_core" / "REFERENCE.md"
HEAD = """# Python reference

Everything public can be imported from `triggers_core`. This file is made from the code by
`make reference`.

"""
CONFIG = ConfigDict(
    docstring_section_style="list",
    heading_level=2,
    members_order="source",
    inherited_members=True,
    show_bases=True,
    show_signature_annotations=True,
    show_root_full_path=False,
    show_object_full_path=False,
    show_submodules=False,
    summary=False,
)
_PLACE = re.compile(r"^(#+) `triggers_core\.(?:[a-z_]+\.)*?((?:[A-Z]\w*\.)?\w+)`$", re.MULTILINE)
"""A heading with the module's name, which nobody needs."""
_UNTOLD = re.compile(r"^#{3,} [^\n]+\n\n```python\n[^`]*```\n\n(?=#)", re.MULTILINE)
"""An attribute that its class tells of."""
_LINK = re.compile(r"\[([^]\n]+)\]\(#[^)\n]+\)")


def main(*, only_check: bool) -> int:
    """Write the reference; or only say whether it is not the code's. Return the exit code."""
    made = reference()
    if not only_check:
        TARGET.write_text(made, encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != made:
        print(f"{TARGET.relative_to(ROOT)} is not that of the code: make reference")
        return 1
    return 0


def reference() -> str:
    """Return the reference as Markdown."""
    core = griffe.load(
        "triggers_core",
        search_paths=[ROOT / "triggers_core" / "src"],
        docstring_parser="google",
        resolve_aliases=True,
    )
    names = re.findall(r"^::: triggers_core\.(\S+)$", SOURCE.read_text(encoding="utf-8"), re.M)
    parts = [_told(_target(core, name)) for name in names]
    # Names that are told of elsewhere, and types of Python's, have no heading to lead to.
    text = _LINK.sub(r"\1", "\n\n".join(parts))
    text = _PLACE.sub(r"\1 `\2`", re.sub(r"\n{3,}", "\n\n", text))
    return HEAD + _UNTOLD.sub("", text).strip() + "\n"


def _told(found: griffe.Object) -> str:
    if isinstance(found, griffe.Module):  # what it imports is told where that is defined
        for name in [name for name, member in found.members.items() if member.is_alias]:
            del found.members[name]
    return render_object_docs(found, CONFIG)


def _target(core: griffe.Module, name: str) -> griffe.Object:
    found = core[name]
    return found.final_target if isinstance(found, griffe.Alias) else found


if __name__ == "__main__":
    sys.exit(main(only_check="--check" in sys.argv[1:]))
