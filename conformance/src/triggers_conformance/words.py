"""What the workers of an engine have written to their logs while a check was made."""

from __future__ import annotations

from pathlib import Path

LINES = 15
"""The last ones are told: what went wrong stands at the end."""


class Words:
    """Listens to the files ``*.log`` of a folder, which need not be there yet."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._heard: dict[Path, int] = {}

    def of_files_in(self, folder: Path) -> None:
        """Listen to that folder's from now on."""
        self._folder = folder

    def listen(self) -> None:
        """Begin: what was written before is not told."""
        self._heard = {path: path.stat().st_size for path in self._files()}

    def since_listening(self) -> str:
        """Return the last lines since then, to be put after what the runner did; may be empty."""
        return "".join(f"\n    | {line}" for line in self._written()[-LINES:])

    def _written(self) -> list[str]:
        lines: list[str] = []
        for path in self._files():
            with path.open("rb") as file:
                file.seek(self._heard.get(path, 0))
                lines += file.read().decode("utf-8", "replace").splitlines()
        return lines

    def _files(self) -> list[Path]:
        return [] if self._folder is None else sorted(self._folder.rglob("*.log"))
