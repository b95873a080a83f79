"""The commands that keep a store in order, as an operator types them: ``recover`` and ``gc``."""

import pytest

from triggers_core import SqliteStorage

from .conftest import in_memory
from .looks import rows
from .permit import CONFIGURATION, break_down, close

DAY = 86_400


class TestRecover:
    pytestmark = in_memory

    def test_once_says_what_it_did(self, case, triggers, storage, runner):
        case.fire("applied")
        case.fire("fee_paid")
        runner.held.clear()
        assert triggers("recover", "--once").stdout == "nothing was lost\n"
        storage.advance(case.dispatch_timeout + 1)

        recovered = triggers("recover", "--once")

        assert rows(recovered.stdout)[1:] == [["dispatched", "s", "t_close#0"]]
        assert recovered.exit_code == 0
        assert runner.names == ["t_close#0"]

    def test_what_it_could_not_help_exits_with_1(self, case, triggers, storage, plugins, runner):
        case.fire("applied")
        case.fire("fee_paid")
        storage.advance(case.dispatch_timeout + 1)
        plugins.managers.remove("tested")

        recovered = triggers("recover", "--once")

        assert rows(recovered.stdout)[1:] == [["errors", "s", "t_close#0"]]
        assert recovered.exit_code == 1

    def test_each_is_logged(self, case, triggers, storage, caplog):
        case.fire("applied")
        case.fire("fee_paid")
        storage.advance(case.dispatch_timeout + 1)
        caplog.set_level("INFO", "triggers_core.recovery")

        triggers("recover", "--once")

        assert "session 's': t_close#0 was lost: dispatched" in caplog.messages

    def test_the_storage_of_an_alias(self, case, triggers, plugins, tmp_path):
        other = SqliteStorage(tmp_path / "other.db", alias="ledger")
        plugins.add_storage(other)

        assert triggers("recover", "--once", "--alias", "ledger").exit_code == 0
        refused = triggers("recover", "--once", "--alias", "nosuch")
        assert refused.exit_code == 2
        other.close()


class TestGc:
    pytestmark = in_memory

    @pytest.fixture
    def old(self, make_manager, runner, tasks, storage):
        """Give sessions that changed ten days ago last, by what they are."""
        tasks["close"] = tasks["archive"] = close
        names = ("over", "failed", "resolved", "under way", "waiting")
        found = {name: make_manager(name) for name in names}
        for name, manager in found.items():
            manager.update_configuration(CONFIGURATION)
            manager.fire("applied")
            if name == "waiting":
                continue
            tasks["close"] = close if name in ("over", "under way") else break_down
            manager.fire("fee_paid")
            if name != "under way":
                runner.work()
        found["resolved"].mark_instance_logs_resolved("t_close#0")
        storage.advance(10 * DAY)
        return found

    def test_it_deletes_what_is_over_for_longer(self, old, triggers, storage):
        assert triggers("gc", "--days", "11").stdout == "0 sessions deleted\n"
        assert triggers("gc", "--days", "9").stdout == "2 sessions deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["failed", "under way", "waiting"]

    def test_it_deletes_what_waits_where_it_is_told_to(self, old, triggers, storage):
        assert triggers("gc", "--days", "9", "--waiting").stdout == "3 sessions deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["failed", "under way"]

    def test_a_trigger_that_was_fired_lately_keeps_its_session(self, old, triggers, storage):
        old["over"].fire("nobody_waits_for_it")
        old["waiting"].fire("withdrawn_in_part")

        assert triggers("gc", "--days", "9", "--waiting").stdout == "1 session deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["over", "failed", "under way", "waiting"]

    def test_a_session_that_another_deletes_meanwhile_is_not_made_anew(
        self, old, triggers, storage, monkeypatch
    ):
        transaction = storage.transaction

        def delete_first(session_uid, manager_name):
            monkeypatch.undo()
            with transaction(session_uid, manager_name) as unit:
                unit.delete()
            return transaction(session_uid, manager_name)

        monkeypatch.setattr(storage, "transaction", delete_first)

        assert triggers("gc", "--days", "9").stdout == "1 session deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["failed", "under way", "waiting"]

    def test_what_was_fired_and_no_task_took_waits_too(self, make_manager, triggers, storage):
        make_manager("never fired into").update_configuration(CONFIGURATION)
        make_manager("taken by nothing").fire("applied")
        storage.advance(10 * DAY)

        assert triggers("gc", "--days", "9").stdout == "0 sessions deleted\n"
        assert triggers("gc", "--days", "11", "--waiting").stdout == "0 sessions deleted\n"
        assert triggers("gc", "--days", "9", "--waiting").stdout == "1 session deleted\n"
        assert [uid for uid, _ in storage.sessions()] == ["never fired into"]

    def test_a_dry_run_only_says_which(self, old, triggers, storage):
        would = triggers("gc", "--days", "9", "--dry-run")

        assert would.stdout == "over\nresolved\n2 sessions would be deleted\n"
        assert len(list(storage.sessions())) == 5

    def test_the_days_are_never_assumed(self, old, triggers):
        assert triggers("gc").exit_code == 2

    def test_a_session_that_changes_meanwhile_is_kept(self, old, triggers, storage, monkeypatch):
        transaction = storage.transaction

        def fire_first(session_uid, manager_name):
            monkeypatch.undo()
            old["over"].fire("applied")
            return transaction(session_uid, manager_name)

        old["over"].update_configuration({"t_new": {"after": ["applied"], "run": "close"}})
        monkeypatch.setattr(storage, "transaction", fire_first)

        triggers("gc", "--days", "9")

        assert [uid for uid, _ in storage.sessions()] == ["over", "failed", "under way", "waiting"]
