"""PostgreSQL: rows that triggers did not write so give clear errors, and keep nothing else back."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triggers_core import DamagedStore, SchemaVersionError, TriggersError, execute, trigger_task
from triggers_core.recovery import recover_once

FUZZ = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CONFIGURATION = {
    "t_each": {"after": ["a"], "andEvery": "each", "run": "task"},
    "t_both": {"after": ["a", "b"], "unless": ["c"], "run": "task"},
}
ONE_INSTANCE = (
    "task_name = 't_each' AND number = 0 AND session_id = (SELECT id FROM sessions WHERE uid = 's')"
)
TEXTS = ["", "{", "[]", "{}", "null", "7", '{"a":', '{"a":7}', '{"a":{"n":NaN}}', "[7]", "nonsense"]
NUMBERS = [-1, 0, 7]
TIMES = [-1.0, 0.0, 1e300, float("nan"), float("inf")]
CELLS = {
    **dict.fromkeys(
        [
            ("configurations", "body"),
            ("sessions", "manager_name"),
            ("sessions", "config_digest"),
            ("instances", "status"),
            ("instances", "parent"),
            ("instances", "config_digest"),
            ("instances", "trigger_kwargs"),
            ("instances", "waits_for"),
            ("instances", "metadata"),
            ("triggers", "kwargs"),
            ("events", "outcome"),
        ],
        TEXTS,
    ),
    **dict.fromkeys([("instances", "attempt"), ("instances", "reruns_left")], NUMBERS),
    **dict.fromkeys(
        [
            ("instances", "not_before"),
            ("instances", "created_at"),
            ("instances", "changed_at"),
            ("instances", "recover_at"),
        ],
        TIMES,
    ),
}
changes = st.sampled_from(list(CELLS)).flatmap(
    lambda cell: st.tuples(st.just(cell), st.sampled_from(CELLS[cell]), st.integers(0, 3))
)


@pytest.fixture
def store(storage, schema, admin, open_session):
    return Store(storage, schema, admin, open_session)


class Store:
    """A store with two sessions in which every instance that is scheduled is lost."""

    def __init__(self, storage, schema, admin, open_session):
        self.storage = storage
        self._admin = admin
        self._open_session = open_session
        list(storage.sessions())
        admin.execute(f'SET search_path TO "{schema}"')

    def manager(self, uid="s"):
        manager = self._open_session(self.storage, uid)
        manager.plugins.managers.add(type(manager))
        return manager

    def fill(self):
        self._admin.execute(
            "TRUNCATE configurations, sessions, instances, waiting, triggers, events"
        )
        for uid in ("s", "other"):
            manager = self.manager(uid)
            manager.update_configuration(CONFIGURATION)
            manager.fire("a", {"n": 1}, event_id="first")
            manager.fire_many([("each",), ("each",)])
        self.execute("UPDATE instances SET recover_at = 1.0 WHERE recover_at IS NOT NULL")

    def execute(self, statement, values=()):
        self._admin.execute(statement, values)
        # What was parsed once is not read again.
        self.storage._configurations.clear()

    def use_everything(self):
        """Do whatever can be done; return the errors of ours that it gave."""
        errors = []

        def attempt(call):
            try:
                return call()
            except TriggersError as error:
                errors.append(error)

        attempt(lambda: list(self.storage.sessions()))
        for uid in ("s", "other"):
            manager = self.manager(uid)
            attempt(manager.configuration)
            found = attempt(manager.instances) or []
            for instance in found:
                attempt(lambda instance=instance, manager=manager: manager.task_config(instance))
            for name in ("a", "b", "c", "each"):
                attempt(lambda name=name, manager=manager: manager.fire(name, {"n": 2}))
            attempt(lambda manager=manager: manager.fire("a", {"n": 1}, event_id="first"))
            attempt(lambda manager=manager: manager.update_configuration(CONFIGURATION))
            attempt(lambda manager=manager: recover_once(self.storage, plugins=manager.plugins))
            for instance in found[:1]:
                attempt(
                    lambda instance=instance, manager=manager: execute(
                        manager, instance, resolve=lambda *_: trigger_task(lambda context: {})
                    )
                )
        assert all(map(str, errors))
        return errors


@FUZZ
@given(st.lists(changes, min_size=1, max_size=2))
def test_a_damaged_row_gives_clear_errors_if_any(store, changed):
    store.fill()
    for (table, column), value, skipped in changed:
        store.execute(
            f"UPDATE {table} SET {column} = %s WHERE ctid = "
            f"(SELECT ctid FROM {table} ORDER BY ctid OFFSET %s LIMIT 1)",
            (value, skipped),
        )
    store.use_everything()


def test_a_whole_store_gives_none(store):
    store.fill()
    assert store.use_everything() == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "asleep"),
        ("trigger_kwargs", '{"a":{"n":1'),
        ("trigger_kwargs", '{"a":1}'),
        ("metadata", '{"error":'),
        ("waits_for", '["b"'),
        ("attempt", -1),
        ("changed_at", float("nan")),
        ("not_before", float("inf")),
    ],
)
def test_a_damaged_instance_is_named_and_keeps_no_other_from_being_recovered(store, column, value):
    store.fill()
    store.execute(f"UPDATE instances SET {column} = %s WHERE {ONE_INSTANCE}", (value,))
    manager = store.manager()
    with pytest.raises(DamagedStore, match="'s', instance t_each#0"):
        manager.instance("t_each#0")

    recovered = recover_once(store.storage, plugins=manager.plugins)
    assert recovered.errors == [("s", "t_each#0")]
    assert {("s", "t_each#1"), ("other", "t_each#0")} < set(recovered.dispatched)


@pytest.mark.parametrize(
    ("statement", "use", "named"),
    [
        ("UPDATE configurations SET body = left(body, 99)", "configuration", "configuration"),
        ("DELETE FROM configurations", "configuration", "configuration"),
        ("UPDATE triggers SET kwargs = '{' WHERE name = 'a'", "fire each", "trigger 'a'"),
        ("UPDATE events SET outcome = '{'", "fire first", "event 'first'"),
        ("UPDATE events SET outcome = '{}'", "fire first", "outcome of an event"),
    ],
)
def test_what_is_damaged_is_named(store, statement, use, named):
    store.fill()
    store.execute(statement)
    manager = store.manager()
    uses = {
        "configuration": manager.configuration,
        "fire each": lambda: manager.fire("each"),
        "fire first": lambda: manager.fire("a", {"n": 1}, event_id="first"),
    }
    with pytest.raises(DamagedStore, match=named):
        uses[use]()


def test_tables_of_a_version_to_come_are_refused_by_every_call(store, make_storage):
    store.fill()
    store.execute("UPDATE meta SET version = version + 1")
    store.storage = make_storage()
    errors = store.use_everything()
    assert errors
    assert all(isinstance(error, SchemaVersionError) for error in errors)
