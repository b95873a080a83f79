"""Whether there is a Celery that this distribution works with, told before it is imported."""

from __future__ import annotations

from importlib import metadata

from triggers_core import PluginError

OLDEST_CELERY = (5, 4)


def check_celery() -> None:
    """Raise PluginError unless a Celery that triggers-celery works with is installed."""
    wanted = ".".join(map(str, OLDEST_CELERY))
    advice = f"pip install --upgrade 'celery>={wanted}'"
    try:
        version = metadata.version("celery")
    except metadata.PackageNotFoundError:
        raise PluginError(f"triggers-celery needs Celery, which is missing: {advice}") from None
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_CELERY:
        raise PluginError(f"triggers-celery needs Celery {wanted}, not {version}: {advice}")
