"""What the guide's site knows of where it comes from: pages' sources, and files beside the guide.

The repository's address is what REPOSITORY_URL says, else git's ``origin``. Where there is none, as
in a copy of the files, there is no link rather than one that leads nowhere.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

_BRANCH = "main"
_LINK_TO_FILE = re.compile(r"\[([^]]+)\]\(\.\./([^)]+)\)")
"""To a file of the repository that is no page."""


def on_config(config: Any) -> Any:
    """Find the address once."""
    config.extra["repository_url"] = os.environ.get("REPOSITORY_URL") or _origin()
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Have the page's pencil, and its links to files beside the guide, lead to the repository."""
    address = config.extra["repository_url"]
    if not address:
        return _LINK_TO_FILE.sub(r"\1", markdown)
    page.edit_url = f"{address}/edit/{_BRANCH}/docs/{page.file.src_uri}"
    return _LINK_TO_FILE.sub(rf"[\1]({address}/blob/{_BRANCH}/\2)", markdown)


def _origin() -> str:
    said = subprocess.run(
        ["git", "remote", "get-url", "origin"], capture_output=True, encoding="utf-8", check=False
    ).stdout.strip()
    return _to_address(said)


def _to_address(remote: str) -> str:
    """Return the web address of a remote such as ``git@host:owner/name.git``; "" for a folder."""
    found = re.fullmatch(
        r"(?:https://(?:[^@/]*@)?|ssh://git@|git@)([\w.-]+)[:/](.+?)(?:\.git)?/?", remote
    )
    return f"https://{found[1]}/{found[2]}" if found else ""
