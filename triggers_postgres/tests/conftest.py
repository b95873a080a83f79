"""A PostgreSQL server, and on it for each test a schema of its own that is dropped in the end."""

import os
import uuid

import psycopg
import pytest

from triggers_core import BaseTaskRunner, Plugins, TriggerManager
from triggers_postgres import PostgresStorage

VARIABLE = "TRIGGERS_TEST_POSTGRESQL"
DEFAULT_URL = "postgresql://postgres@127.0.0.1:5432/test"


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


class IdleRunner(BaseTaskRunner):
    """Accepts work and does none, so that whatever is scheduled stays so."""

    name = "idle"

    def run(self, manager, task_instance):
        pass


class IdleManager(TriggerManager):
    name = "idle"
    default_task_runner_name = "idle"


@pytest.fixture
def open_session():
    """Return a function (storage, session uid) → a manager whose tasks are never run."""
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(IdleRunner())

    def open_it(storage, uid="session", configuration=None):
        manager = IdleManager(uid, storage=storage, plugins=plugins)
        if configuration:
            manager.update_configuration(configuration)
        return manager

    return open_it
