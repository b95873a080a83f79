"""The pages' text. Everything that is put into it is escaped."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from triggers_core.insight.notes import moment
from triggers_core.rules.instance import Status
from triggers_web.guard import FORM_FIELD


def link(page: str, /, **parameters: Any) -> str:
    """Return the address of a page, relative to the other pages."""
    return f"{page}?{urlencode({key: value for key, value in parameters.items() if value})}"


def to_text(value: Any) -> str:
    """Return a JSON value as a person reads it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def render(template: str, **values: Any) -> bytes:
    """Return the page as UTF-8.

    A lone surrogate, which JSON allows and UTF-8 does not, is written as JSON escapes it.
    """
    return _environment.get_template(template).render(values).encode("utf-8", "backslashreplace")


_environment = Environment(
    loader=PackageLoader("triggers_web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(text=to_text, moment=moment)
_environment.globals.update(link=link, Status=Status, FORM_FIELD=FORM_FIELD)
