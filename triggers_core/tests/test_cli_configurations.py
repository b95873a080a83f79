"""The commands on a configuration, as an operator types them: ``check`` and ``graph``."""

import json
import sys

import pytest

from .conftest import in_memory
from .permit import CONFIGURATION


class TestGraph:
    pytestmark = in_memory

    def test_of_a_file(self, triggers, tmp_path):
        (tmp_path / "permits.json").write_text(json.dumps(CONFIGURATION))

        drawn = triggers("graph", str(tmp_path / "permits.json"))

        assert drawn.stdout.startswith('flowchart LR\n    n0("applied")\n')

    @pytest.mark.parametrize("form", ["mermaid", "dot", "svg"])
    def test_of_a_session_by_state(self, failed, triggers, form):
        drawn = triggers("graph", "--session", "s", "--format", form)

        assert drawn.exit_code == 0
        assert "1 failed" in drawn.stdout
        assert "#fca5a5" in drawn.stdout

    def test_svg_is_a_picture(self, failed, triggers):
        drawn = triggers("graph", "--session", "s", "--format", "svg").stdout

        assert "<svg " in drawn
        assert drawn.rstrip().endswith("</svg>")

    def test_svg_without_its_extra(self, failed, triggers, monkeypatch, tmp_path):
        monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))

        drawn = triggers("graph", "--session", "s", "--format", "svg", PATH=str(tmp_path))

        assert drawn.exit_code == 1
        assert "pip install 'triggers-core[svg]'" in drawn.stderr

    def test_svg_when_graphviz_breaks(self, failed, triggers, tmp_path):
        (tmp_path / "dot").write_text("#!/bin/sh\necho out of paper >&2\nexit 1\n")
        (tmp_path / "dot").chmod(0o755)

        drawn = triggers("graph", "--session", "s", "--format", "svg", PATH=str(tmp_path))

        assert drawn.exit_code == 1
        assert "out of paper" in drawn.stderr

    @pytest.mark.parametrize("arguments", [[], ["--session", "s", __file__]])
    def test_of_one_thing_at_a_time(self, case, triggers, arguments):
        assert triggers("graph", *arguments).exit_code == 2


class TestConfigurations:
    """What `check` and `graph` are given, and what `check` is asked to look at."""

    pytestmark = in_memory

    @pytest.fixture
    def shop(self, tmp_path, monkeypatch):
        """Give a module of the application's, with a configuration and a task."""
        (tmp_path / "shop_of_check.py").write_text(
            "from triggers_core import trigger_task\n"
            "@trigger_task\n"
            "def ship(context): ...\n"
            "here = {'after': ['paid'], 'run': 'shop_of_check.ship', 'using': 'held'}\n"
            "STEPS = {'ship': here, 'tell': {**here, 'after': ['ship']}}\n"
            "lost = {**here, 'run': 'shop_of_check.shop'}\n"
            "LOST = {'ship': lost, 'tell': {**here, 'run': 'no.x'}}\n"
            "ODD = {'ship': {**here, 'timeout': 3, 'x-team': 'mail'}}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        yield "shop_of_check"
        sys.modules.pop("shop_of_check", None)

    def test_a_configuration_may_be_a_name_in_a_module(self, shop, triggers):
        checked = triggers("check", f"{shop}:STEPS")
        drawn = triggers("graph", f"{shop}:STEPS")

        assert checked.stdout == "2 tasks, nothing to complain of\n"
        assert '["tell"]' in drawn.stdout

    @pytest.mark.parametrize("command", ["check", "graph"])
    @pytest.mark.parametrize("source", ["nosuch.json", "no_such_module:X", "json:NO_SUCH"])
    def test_one_that_is_not_there_is_told(self, triggers, command, source):
        refused = triggers(command, source)

        assert refused.exit_code == 2
        assert source in refused.stderr.replace("\n", "")

    def test_targets_are_looked_up_when_asked_for(self, shop, triggers):
        unasked = triggers("check", f"{shop}:LOST")
        fine = triggers("check", f"{shop}:STEPS", "--resolve")
        lost = triggers("check", f"{shop}:LOST", "--resolve")

        assert (unasked.exit_code, fine.exit_code, lost.exit_code) == (0, 0, 1)
        assert "task 'ship': TaskNotFound: run target 'shop_of_check.shop'" in lost.stdout
        assert "task 'tell': TaskNotFound: run target 'no.x'" in lost.stdout

    def test_a_target_that_is_not_allowed_is_refused(self, shop, triggers, plugins):
        plugins.allow_targets("mail.*")

        refused = triggers("check", f"{shop}:STEPS")

        assert refused.exit_code == 1
        assert "the target 'shop_of_check.ship' may not be run here" in refused.stderr

    def test_a_directive_that_nobody_claims_is_complained_of(self, shop, triggers):
        checked = triggers("check", f"{shop}:ODD")

        assert checked.exit_code == 1
        assert "nobody here knows the directive 'timeout'" in checked.stdout
        assert "x-team" not in checked.stdout
