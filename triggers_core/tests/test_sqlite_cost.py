"""What a step costs on SQLite: the same in a small session and in a large one."""

from triggers_core import SqliteStorage, hookimpl, trigger_task

from .conftest import HeldManager

COST_CONFIGURATION = {
    "t_each": {"after": ["never"], "andEvery": "each", "run": "task"},
    "t_ran": {"after": ["each"], "andEvery": "ran", "unless": ["never"], "run": "task"},
    "t_one": {"after": ["a", "b"], "unless": ["c"], "run": "task", "withParams": {"a": {}}},
    "t_next": {"after": ["t_one"], "run": "task"},
}


class Settled:
    @hookimpl
    def triggers_settled(self):
        """Be there: what a hook needs is looked up only where somebody implements it."""


class TestCost:
    """A fire's cost is flat: it reads and writes the instances that it affects, by an index."""

    def test_is_the_same_with_10_and_with_2000_instances(self, tmp_path, plugins, runner, tasks):
        few, many = (
            self._cost_of_each_step(tmp_path / f"{size}.db", size, plugins, runner, tasks)
            for size in (10, 2000)
        )
        assert few == many
        assert all(steps and statements for steps, statements in few.values())

    def test_is_an_indexs_for_every_statement(self, tmp_path, plugins, runner, tasks):
        storage = SqliteStorage(tmp_path / "data.db", synchronous="NORMAL")
        statements = set()
        manager = self._session(storage, 50, plugins, runner, tasks)
        with storage.read("s") as reader:
            connection = reader._connection
        connection.set_trace_callback(statements.add)
        for step in self._steps(manager, runner).values():
            step()
        storage.take_lost(limit=10, hold_until=storage.now() + 1000.0)
        connection.set_trace_callback(None)
        kinds = {statement.split()[0] for statement in statements}
        assert kinds >= {"SELECT", "INSERT", "UPDATE", "DELETE"}
        for statement in sorted(statements):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            scans = [detail for *_, detail in plan if "SCAN" in detail]
            assert not scans, statement

    def _cost_of_each_step(self, path, size, plugins, runner, tasks):
        """Return step → (the statements, the instructions of SQLite's machine) that it took."""
        storage = SqliteStorage(path, synchronous="NORMAL")
        manager = self._session(storage, size, plugins, runner, tasks)
        with storage.read("s") as reader:
            connection = reader._connection
        costs = {}
        for name, step in self._steps(manager, runner).items():
            statements, instructions = [], []
            connection.set_trace_callback(lambda _, noted=statements: noted.append(1))
            connection.set_progress_handler(lambda noted=instructions: noted.append(1), 1)
            step()
            connection.set_trace_callback(None)
            connection.set_progress_handler(None, 1)
            costs[name] = (len(statements), len(instructions))
        storage.close()
        return costs

    def _session(self, storage, size, plugins, runner, tasks):
        """Return the manager of a session with ``size`` instances, half of them finished."""
        tasks["task"] = trigger_task(lambda context: {})
        plugins.register(Settled())
        manager = HeldManager("s", storage=storage, plugins=plugins)
        manager.update_configuration(COST_CONFIGURATION)
        manager.fire_many([("each",)] * (size // 2))
        manager.fire_many([("ran",)] * (size // 2))
        runner.work()
        assert len(manager.instances()) == size
        return manager

    def _steps(self, manager, runner):
        return {
            "makes an instance": lambda: manager.fire("a", {"x": 1}),
            "gives another one a trigger": lambda: manager.fire("c"),
            "is awaited by nobody": lambda: manager.fire("unheard of"),
            "is an event": lambda: manager.fire("unheard of", event_id="first"),
            "is the same event": lambda: manager.fire("unheard of", event_id="first"),
            "makes a further instance": lambda: manager.fire("each"),
            "makes a further instance, that is ready": lambda: manager.fire("ran"),
            "is executed": runner.work,
            "is configured": lambda: manager.update_configuration(COST_CONFIGURATION),
            "is looked at": lambda: manager.instance("t_one#0"),
        }
