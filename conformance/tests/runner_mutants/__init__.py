"""Faulty task runners: each breaks one rule, as its author might have.

They stand in a file for each part of the contract, as the rules do.
"""

from importlib import import_module
from pathlib import Path

from runner_mutants.bases import MUTANTS, NAME, Sound

for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    import_module(f"{__name__}.{file.stem}")


def runner_called(class_name):
    """Return a mutant's class."""
    (found,) = {
        mutant.runner_class for mutant in MUTANTS if mutant.runner_class.__name__ == class_name
    }
    return found


__all__ = ["MUTANTS", "NAME", "Sound", "runner_called"]
