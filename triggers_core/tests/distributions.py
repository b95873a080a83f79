"""Distributions that tests build, install with pip, and ask from a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

RUNNERS, MANAGERS, STORAGES, PLUGINS = (
    "triggers.runners",
    "triggers.managers",
    "triggers.storages",
    "triggers.plugins",
)
TRIGGERS = Path(sys.executable).with_name("triggers")


@dataclass(frozen=True)
class Distribution:
    """A distribution of one module; ``acme-good`` has ``acme_good``."""

    name: str
    source: str
    entry_points: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def module(self):
        return self.name.replace("-", "_")

    def write(self, folder):
        """Write its source tree; return where."""
        root = folder / self.name
        root.mkdir()
        (root / f"{self.module}.py").write_text(self.source)
        groups = [
            f'[project.entry-points."{group}"]\n'
            + "".join(f'{name} = "{target}"\n' for name, target in entry_points.items())
            for group, entry_points in self.entry_points.items()
        ]
        (root / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{self.name}"\nversion = "1.2"\n'
            f'[tool.hatch.build.targets.wheel]\ninclude = ["{self.module}.py"]\n' + "".join(groups)
        )
        return root


def install(folder, *distributions):
    """Build and install the distributions with pip; return the folder that has them."""
    sources = folder / "sources"
    sources.mkdir()
    subprocess.run(
        [
            sys.executable, "-m", "pip", "-q", "install", "--target", folder / "installed",
            "--no-deps", "--no-index", "--no-build-isolation", "--no-compile",
            *(distribution.write(sources) for distribution in distributions),
        ],
        check=True,
    )  # fmt: skip
    return folder / "installed"


def run(installed, *command, **environment):
    """Run a command where the distributions are installed."""
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(installed), **environment},
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )


def python(installed, source, **environment):
    """Run a script where the distributions are installed; return the JSON that it prints."""
    ran = run(installed, sys.executable, "-c", source, **environment)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
