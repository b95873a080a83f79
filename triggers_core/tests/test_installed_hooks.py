"""Installed distributions with faulty hooks: an application is told which it is, and a command goes
on without it."""

import os
import re

import pytest

from .distributions import PLUGINS, TRIGGERS, Distribution, install, python, run

HOOK_SOURCES = {
    "acme-needy": (
        "import acme_that_is_not_installed",
        "plugin 'hooks': the entry point 'acme_needy' of the distribution acme-needy fails to "
        "import: ModuleNotFoundError: No module named 'acme_that_is_not_installed'",
    ),
    "acme-quitting": (
        "raise SystemExit('no display')",
        "plugin 'hooks': the entry point 'acme_quitting' of the distribution acme-quitting "
        "fails to import: SystemExit: no display",
    ),
    "acme-misspelt": (
        "from triggers_core import hookimpl\n\n@hookimpl\ndef triggers_fierd(): ...",
        "the distribution acme-misspelt: plugin 'hooks': unknown hook 'triggers_fierd' in "
        "plugin <module 'acme_misspelt' .*; triggers_core.hookspecs lists the hooks",
    ),
}


@pytest.fixture(scope="module")
def hook_plugins(tmp_path_factory):
    """Name → where that distribution, which has faulty hooks, is installed beside no other."""
    return {
        name: install(
            tmp_path_factory.mktemp(name),
            Distribution(name, source, {PLUGINS: {"hooks": name.replace("-", "_")}}),
        )
        for name, (source, _) in HOOK_SOURCES.items()
    }


@pytest.mark.parametrize("name", HOOK_SOURCES)
def test_a_broken_hook_plugin_is_an_error_that_names_the_distribution(hook_plugins, name):
    """Going on without it could leave out what the application counts on."""
    printed = python(
        hook_plugins[name],
        """
import json
from triggers_core import PluginError, default_plugins

try:
    default_plugins()
except PluginError as error:
    print(json.dumps(str(error)))
""",
    )

    assert re.search(HOOK_SOURCES[name][1], printed), printed


@pytest.mark.parametrize("name", HOOK_SOURCES)
def test_a_command_goes_on_without_it_and_says_so_in_one_line(hook_plugins, name):
    ran = run(hook_plugins[name], TRIGGERS, "runners", COLUMNS="400")

    assert ran.returncode == 0
    assert "threading" in ran.stdout
    assert re.fullmatch(f"warning: left out: {HOOK_SOURCES[name][1]}\n", ran.stderr), ran.stderr


@pytest.mark.parametrize("name", HOOK_SOURCES)
def test_the_command_line_lists_it_with_the_reason(hook_plugins, name):
    ran = run(hook_plugins[name], TRIGGERS, "plugins", COLUMNS="400")

    assert re.search(f"│ hooks +│ +│ {HOOK_SOURCES[name][1]} +│", ran.stdout), ran.stdout
    assert re.search(r"│ triggers-core +│ triggers_.* +│ ready +│", ran.stdout)


def test_what_the_application_registers_is_known_though_a_plugin_is_broken(hook_plugins, tmp_path):
    (tmp_path / "acme_app.py").write_text(
        "from triggers_core import MemoryStorage, default_plugins\n"
        "default_plugins().add_storage(MemoryStorage())\n"
    )

    ran = run(
        hook_plugins["acme-needy"], TRIGGERS, "--import", "acme_app", "sessions",
        PYTHONPATH=f"{hook_plugins['acme-needy']}{os.pathsep}{tmp_path}",
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr


def test_a_plugin_whose_commands_cannot_be_added_stops_no_other(tmp_path):
    source = (
        "from triggers_core import hookimpl\n\n@hookimpl\n"
        "def triggers_register_commands(cli):\n    import acme_that_is_not_installed\n"
    )
    folder = install(tmp_path, Distribution("acme-lame", source, {PLUGINS: {"lame": "acme_lame"}}))

    ran = run(folder, TRIGGERS, "plugins", COLUMNS="400")

    assert ran.returncode == 0, ran.stderr
    problem = "plugin 'lame': its commands cannot be added: ModuleNotFoundError: No module named"
    assert f"warning: left out: {problem}" in ran.stderr
    assert re.search(f"│ lame +│ triggers_register_commands +│ {problem}", ran.stdout)
