"""The directive ``celery``: how the message of one task is sent.

``"celery": {"queue": "mail", "priority": 5, "headers": {"tenant": "a"}, "expires": 3600}``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from triggers_core import TaskConfig, hookimpl

DIRECTIVE = "celery"
HIGHEST_PRIORITY = 255
LONGEST_EXPIRES = 4_000_000
"""Seconds. RabbitMQ counts a message's life in milliseconds, in 32 bits."""
CELERY_HEADERS = frozenset(
    {
        "args",
        "argsrepr",
        "as_execution_options",
        "callbacks",
        "called_directly",
        "chain",
        "children",
        "chord",
        "clear",
        "compression",
        "correlation_id",
        "delivery_info",
        "errbacks",
        "eta",
        "expires",
        "get",
        "group",
        "group_index",
        "headers",
        "hostname",
        "id",
        "ignore_result",
        "is_eager",
        "kwargs",
        "kwargsrepr",
        "lang",
        "logfile",
        "loglevel",
        "origin",
        "parent_id",
        "properties",
        "replaced_task_nesting",
        "reply_to",
        "retries",
        "root_id",
        "shadow",
        "soft_time_limit",
        "stamped_headers",
        "stamps",
        "task",
        "taskset",
        "time_limit",
        "timelimit",
        "update",
        "utc",
    }
)
"""What a message's headers, or the request made of them, say to Celery itself."""


@hookimpl
def triggers_validate_directive(directive: str, value: Any) -> bool | None:
    """Claim ``celery``; raise ValueError where it says something that cannot be sent."""
    if directive != DIRECTIVE:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of message options, not {value!r}")
    for option, setting in value.items():
        if option not in _OPTIONS:
            raise ValueError(f"unknown option {option!r}; known: {', '.join(sorted(_OPTIONS))}")
        is_valid, expected = _OPTIONS[option]
        if not is_valid(setting):
            raise ValueError(f"option {option!r}: expected {expected}, not {setting!r}")
    return True


def message_options(config: TaskConfig) -> dict[str, Any]:
    """Return what the task's directive says, as arguments of ``apply_async``."""
    return dict(config.extras.get(DIRECTIVE, {}))


def _is_queue(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_priority(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST_PRIORITY


def _is_headers(value: Any) -> bool:
    return isinstance(value, Mapping) and not any(map(_is_celerys, value))


def _is_celerys(header: str) -> bool:
    return header.startswith("_") or header in CELERY_HEADERS


def _is_seconds(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value <= LONGEST_EXPIRES


_OPTIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "queue": (_is_queue, "a queue's name"),
    "priority": (_is_priority, f"an int from 0 to {HIGHEST_PRIORITY}"),
    "headers": (
        _is_headers,
        "a mapping of headers, none of them Celery's own",
    ),
    "expires": (_is_seconds, f"seconds, more than 0 and up to {LONGEST_EXPIRES}"),
}
