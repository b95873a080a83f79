"""What ``pytest --pyargs triggers_conformance`` collects: the checks that its options choose."""

import pytest

from triggers_conformance import plugin
from triggers_conformance.chosen import runner_checks, storage_checks

TestRunner = runner_checks(plugin.chosen)
TestStorage = storage_checks(plugin.chosen)

if TestRunner is None and TestStorage is None:
    raise pytest.UsageError("say what to check: --runner NAME, or --storage NAME_OR_URL")
