"""Why something was done to an instance, and who it was: two texts, kept in its metadata."""

from __future__ import annotations

from typing import Any

from triggers_core.errors import InvalidKwargs
from triggers_core.rules.names import shown

REASON, BY = "reason", "by"
"""Their keys in the metadata."""
MAX_REMARK_LENGTH = 1000
"""Characters. More is a document, and belongs into the application."""


def remark(reason: str | None, by: str | None, owner: str) -> dict[str, str]:
    """Return those of both that are given, as entries of the metadata.

    Args:
        owner: whose they are, to begin the error with ("instance t_task#0").

    Raises:
        InvalidKwargs: one of them cannot be kept.
    """
    checked = {
        REASON: check_remark(reason, f"{owner}, reason"),
        BY: check_remark(by, f"{owner}, by"),
    }
    return {key: text for key, text in checked.items() if text is not None}


def check_remark(text: Any, what: str) -> str | None:
    """Return a person's words about a change (its reason, who made it), or None for none.

    Args:
        what: begins the error: "instance t_task#0, reason".

    Raises:
        InvalidKwargs: it is no text, empty, longer than :data:`MAX_REMARK_LENGTH`, or holds a
            character that cannot be printed (line breaks, what commands a terminal).
    """
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip():
        raise InvalidKwargs(f"{what}: expected a few words, as a str, not {shown(text)}")
    if len(text) > MAX_REMARK_LENGTH:
        raise InvalidKwargs(f"{what}: has {len(text)} characters; use at most {MAX_REMARK_LENGTH}")
    if not text.isprintable():
        raise InvalidKwargs(
            f"{what}: {shown(text)} holds a character that cannot be printed; write one plain line"
        )
    return text
