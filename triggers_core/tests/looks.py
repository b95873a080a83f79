"""How tests look at what came of it: instances by their status, a printed table by its cells."""

import re


def states(manager):
    return {instance.name: instance.status.value for instance in manager.instances()}


def rows(output):
    """Return the cells of a printed table, header first."""
    lines = [line for line in output.splitlines() if line[:1] in "┃│"]
    return [[cell.strip() for cell in re.split("[┃│]", line)[1:-1]] for line in lines]
