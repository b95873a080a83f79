"""A PostgreSQL server, and on it for each test a schema of its own that is dropped in the end."""

import os
import uuid

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from triggers_core import BaseTaskRunner, Plugins, TriggerManager
from triggers_postgres import PostgresStorage

VARIABLE = "TRIGGERS_TEST_POSTGRESQL"
DEFAULT_URL = "postgresql://postgres@127.0.0.1:5432/test"
TERMINATE_MILLISECONDS = 10_000


@pytest.fixture(scope="session")
def url():
    """The server's URL, without a query."""
    found = os.environ.get(VARIABLE, DEFAULT_URL)
    try:
        psycopg.connect(found, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        message = f"no PostgreSQL answers; start one at {DEFAULT_URL}, or name one in {VARIABLE}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{message}: {error}")
        pytest.skip(message)
    return found


@pytest.fixture
def admin(url):
    """A connection beside the storage's, to look on and to do harm."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def schema(admin):
    name = f"triggers_test_{uuid.uuid4().hex[:12]}"
    yield name
    admin.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.fixture
def make_storage(url, schema):
    """Return a function that returns a storage of the test's schema, which is closed in the end."""
    storages = []

    def make(at=url, **options):
        storage = PostgresStorage(at, **{"schema": schema, "timeout": 20.0, **options})
        storages.append(storage)
        return storage

    yield make
    for storage in storages:
        storage.close()


@pytest.fixture
def storage(make_storage):
    return make_storage()


@pytest.fixture
def doomed(make_storage, url, schema):
    """A storage beside the other, whose connections :func:`terminate` finds by their name."""
    return make_storage(make_conninfo(url, application_name=schema))


@pytest.fixture
def terminate(admin, schema):
    """Return a function that ends every connection of ``doomed``; it returns how many."""

    def end():
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity "
            "WHERE application_name = %s",
            (TERMINATE_MILLISECONDS, schema),
        ).fetchall()
        return ended.count((True,))

    return end


class IdleRunner(BaseTaskRunner):
    """Accepts work and does none, so that whatever is scheduled stays so."""

    name = "idle"

    def __init__(self):
        self.accepted = []

    def run(self, manager, task_instance):
        self.accepted.append(task_instance.name)


class IdleManager(TriggerManager):
    name = "idle"
    default_task_runner_name = "idle"


@pytest.fixture
def idle_runner():
    return IdleRunner()


@pytest.fixture
def open_session(idle_runner):
    """Return a function (storage, session uid) → a manager whose tasks are never run."""
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(idle_runner)

    def open_it(storage, uid="session", configuration=None):
        manager = IdleManager(uid, storage=storage, plugins=plugins)
        if configuration:
            manager.update_configuration(configuration)
        return manager

    return open_it
