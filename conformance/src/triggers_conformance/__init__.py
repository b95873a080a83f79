"""The contracts of triggers' runners and storages, as tests that anybody can run."""

import pytest

# Before the checks are imported: a failure then shows the values that were compared.
pytest.register_assert_rewrite("triggers_conformance.storage")
