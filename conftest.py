"""Imports the distributions before pytest can take their folders, of the same name, for them."""

import triggers_celery  # noqa: F401
import triggers_core  # noqa: F401
import triggers_opentelemetry  # noqa: F401
import triggers_postgres  # noqa: F401
import triggers_threading  # noqa: F401
import triggers_web  # noqa: F401
