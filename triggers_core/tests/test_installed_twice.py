"""Distributions as installers leave them behind: one that is found twice, one without metadata."""

import os

import pytest

from .distributions import RUNNERS, python

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
RUNNER = """
from triggers_core import BaseTaskRunner

class Runner(BaseTaskRunner):
    name = "acme"
    version = {version!r}
    def run(self, manager, task_instance): ...
"""
ASK = """
import json
from triggers_core import PluginError, default_plugins

runners = default_plugins().runners
lines = [[line.name, line.distribution, line.version] for line in runners.listing()]
print(json.dumps([[line for line in lines if line[0] == "acme"], runners.load("acme").version]))
"""


def put(folder, information, name, version, told=METADATA):
    """Write a distribution as an installer leaves it: its module, and a folder of information."""
    (folder / information).mkdir(parents=True)
    (folder / "acme_runner.py").write_text(RUNNER.format(version=version))
    (folder / information / "entry_points.txt").write_text(
        f"[{RUNNERS}]\nacme = acme_runner:Runner\n"
    )
    if told is not None:
        file = "PKG-INFO" if information.endswith(".egg-info") else "METADATA"
        (folder / information / file).write_text(told.format(name=name, version=version))
    return folder


@pytest.mark.parametrize("left_behind", ["acme-runner.egg-info", "Acme.Runner-1.0.dist-info"])
def test_a_distribution_that_is_found_twice_is_one(tmp_path, left_behind):
    """As an editable install beside what an older one has left behind, under another spelling."""
    new = put(tmp_path / "new", "acme_runner-2.0.dist-info", "acme-runner", "2.0")
    old = put(tmp_path / "old", left_behind, "Acme.Runner", "1.0")

    found = python(new, ASK, PYTHONPATH=f"{new}{os.pathsep}{old}")

    assert found == [[["acme", "acme-runner", "2.0"]], "2.0"]


def test_a_distribution_without_metadata_is_named_by_its_folder(tmp_path):
    folder = put(tmp_path / "site", "acme_runner-2.0.dist-info", "acme-runner", "2.0", told=None)

    found = python(folder, ASK)

    assert found == [[["acme", f"(without metadata) in {folder}", None]], "2.0"]
