"""Checks the built guide: no page loads anything from another host, no link leads nowhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
}
"""Tag → the attribute that names what a browser fetches for it."""
NOT_LOADED = {"canonical", "next", "prev", "edit"}
"""Of ``<link rel=…>``."""
_OF_A_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s;]+)""")
"""What a style sheet, or a page's own styles, would have from another host."""


class Page(HTMLParser):
    """What a page loads, links to, and can be linked to at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.marks: set[str] = set()
        self.loaded += _OF_A_STYLE.findall(text)
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        address = values.get(LOADS.get(tag, ""), "")
        if address and not NOT_LOADED & set(values.get("rel", "").split()):
            self.loaded.append(address)
        for offer in filter(None, map(str.strip, values.get("srcset", "").split(","))):
            self.loaded.append(offer.split()[0])
        if tag == "a":
            self.links.append(values.get("href", ""))
        self.anchors |= {values.get("id", ""), values.get("name", "")}
        # For these the site's script would load more, once the page is shown.
        if "mermaid" in values.get("class", "").split():
            self.marks.add("a Mermaid diagram, which needs a script of another host")
        if values.get("data-md-component") == "source":
            self.marks.add("a link to the repository, whose stars are asked for at its host")


def main(site: Path) -> int:
    """Print what is wrong, a line each; return the exit code."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    found = [line for path in sorted(pages) for line in _problems(path, pages, site)]
    for sheet in sorted(site.rglob("*.css")):
        for address in _OF_A_STYLE.findall(sheet.read_text(encoding="utf-8")):
            found.append(f"{sheet.relative_to(site)}: loads {address} from another host")
    for line in found:
        print(line)
    return 1 if found or not pages else 0


def _problems(path: Path, pages: dict[Path, Page], site: Path) -> Iterator[str]:
    page, name = pages[path], path.relative_to(site)
    yield from (f"{name}: has {mark}" for mark in sorted(page.marks))
    for address in page.loaded:
        if urlsplit(address).netloc:
            yield f"{name}: loads {address} from another host"
        elif not _file_of(address, path, site).exists():
            yield f"{name}: loads {address}, which is not there"
    for address in page.links:
        if not (urlsplit(address).netloc or urlsplit(address).scheme):
            yield from _problems_of_link(address, path, pages, site)


def _problems_of_link(
    address: str, path: Path, pages: dict[Path, Page], site: Path
) -> Iterator[str]:
    target, anchor = _file_of(address, path, site), unquote(urlsplit(address).fragment)
    if not target.exists():
        yield f"{path.relative_to(site)}: links to {address}, which is not there"
    elif anchor and target in pages and anchor not in pages[target].anchors:
        yield f"{path.relative_to(site)}: links to {address}, which has no such place"


def _file_of(address: str, path: Path, site: Path) -> Path:
    where = unquote(urlsplit(address).path)
    if not where:
        return path
    found = site / where.lstrip("/") if where.startswith("/") else (path.parent / where).resolve()
    return found / "index.html" if found.is_dir() else found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
