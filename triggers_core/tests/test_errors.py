"""What may be caught as what: the hierarchy, and Python's own errors in it."""

import pytest

from triggers_core import errors

WRONG_ARGUMENT = {
    "ConfigurationError",
    "EventConflict",
    "InvalidKwargs",
    "InvalidName",
    "InvalidReference",
    "InvalidStorage",
    "InvalidTransition",
    "PluginError",
    "SessionClosed",
}
NOT_FOUND = {
    "InstanceNotFound",
    "ManagerNotFound",
    "NotRegistered",
    "RunnerNotFound",
    "StorageNotFound",
    "TaskNotFound",
}
ALL = {
    name: found
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, Exception)
}


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_is_a_triggers_error_and_what_python_calls_it(name):
    found = ALL[name]

    assert issubclass(found, errors.TriggersError)
    assert issubclass(found, ValueError) is (name in WRONG_ARGUMENT)
    assert issubclass(found, LookupError) is (name in NOT_FOUND)
