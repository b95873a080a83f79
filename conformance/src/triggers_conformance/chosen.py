"""From the options of a command line to the class of checks that they choose."""

from __future__ import annotations

import importlib
import sys
import uuid
from pathlib import Path

import pytest

from triggers_conformance.bench import GROUP
from triggers_conformance.plugin import Choice
from triggers_conformance.runner import RunnerConformance, conformance_of
from triggers_conformance.storage import StorageConformance
from triggers_core import Plugins, Storage

OWN_STORAGES = {"memory": "memory:", "sqlite": "sqlite:///{folder}/store.db"}
"""Storage name → the URL of a new one; ``{folder}`` and ``{unique}`` are filled for each check."""


def runner_checks(choice: Choice) -> type[RunnerConformance] | None:
    """Return the checks of the chosen runner, or None where none is chosen.

    Raises:
        pytest.UsageError: no such runner is installed; or the harness cannot be had, or is for
            another runner.
    """
    if choice.runner is None:
        return None
    if choice.harness is None:
        installed = Plugins().runners.names()
        if choice.runner not in installed:
            raise pytest.UsageError(
                f"no distribution has the entry point {choice.runner!r} in the group {GROUP!r} "
                f"(installed: {', '.join(installed) or 'none'}); install it, or give a --harness "
                "whose runner_class is the runner"
            )
        return conformance_of(choice.runner)
    found = _harness(choice, RunnerConformance)
    if getattr(found, "runner_name", None) != choice.runner:
        raise pytest.UsageError(f"--harness {choice.harness} is not for {choice.runner!r}")
    return found


def storage_checks(choice: Choice) -> type[StorageConformance] | None:
    """Return the checks of the chosen storage, or None where none is chosen.

    Raises:
        pytest.UsageError: no such storage is installed, or one that needs a URL is chosen by
            name; or as for runners.
    """
    if choice.storage is None:
        return None
    if choice.harness is not None:
        return _harness(choice, StorageConformance)
    scheme, colon, _ = choice.storage.partition(":")
    installed = Plugins().storages.names()
    if scheme not in installed:
        raise pytest.UsageError(
            f"no storage {scheme!r} is installed (installed: {', '.join(installed)}); install it, "
            "or give a --harness"
        )
    if not colon and scheme not in OWN_STORAGES:
        raise pytest.UsageError(
            f"--storage {scheme}: give the URL of an empty one, in which {{folder}} stands for a "
            "new folder and {unique} for a new name for each check; or a --harness"
        )
    url = choice.storage if colon else OWN_STORAGES[scheme]
    if scheme != "memory" and not ("{folder}" in url or "{unique}" in url):
        raise pytest.UsageError(
            f"--storage {url}: each check needs an empty storage of its own. Put {{folder}} in the "
            "URL, which stands for a new folder, or {unique}, for a new name: "
            f"{OWN_STORAGES.get(scheme, f'{scheme}:…{{unique}}')}"
        )

    class TestStorage(StorageConformance):
        shared_by_processes = scheme != "memory"

        def make_storage(self, tmp_path: Path) -> Storage:
            filled = url.replace("{folder}", str(tmp_path)).replace("{unique}", uuid.uuid4().hex)
            return Plugins().open_storage(filled)

    return TestStorage


def _harness(choice: Choice, kind: type) -> type:
    module_name, _, class_name = str(choice.harness).partition(":")
    if choice.folder not in sys.path:
        sys.path.insert(0, choice.folder)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(
            f"--harness {choice.harness}: {error}; expected module:Class, seen from this folder"
        ) from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise pytest.UsageError(f"--harness {choice.harness} is no subclass of {kind.__name__}")
    return found
