"""Through a transaction pooler, where each transaction may get another connection to the server:
the contract of storages as everywhere, nothing refused under load, nothing left for others."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress

import psycopg
import pytest
from psycopg import capabilities
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from triggers_conformance.storage import StorageConformance
from triggers_core import Status, StorageError
from triggers_postgres import PostgresStorage

VARIABLE = "TRIGGERS_TEST_PGBOUNCER"
START_SECONDS = 20
DEADLINE_SECONDS = 120
SERVER_CONNECTIONS = 8
"""What S30 has open at once, and a third of what the load has: nobody has one for himself."""

SESSIONS = 200
PROCESSES = 2
THREADS = 12
IMPATIENT_SECONDS = 1.0

CONFIGURATION = {"t_each": {"after": ["go"], "andEvery": "go", "run": "task"}}
OFTEN = 20
"""More than what psycopg executes before it prepares."""

FOLLOWS = (1, 21)
"""The first version of pgbouncer that can follow prepared statements; it must be told to."""

INI = """
[databases]
{database} = {target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
"""

LOAD = """
import sys
from concurrent.futures import ThreadPoolExecutor

from triggers_core import BaseTaskRunner, Plugins, TriggerManager, execute, trigger_task
from triggers_core.hookspecs import hookimpl
from triggers_postgres import PostgresStorage

url, schema = sys.argv[1:3]
first, step, count, threads = map(int, sys.argv[3:])
CONFIGURATION = {"join": {"after": ["a", "b", "c"], "run": "load.task"}}


class HereRunner(BaseTaskRunner):
    name = "here"

    def run(self, manager, task_instance):
        execute(manager, task_instance)


class Tasks:
    @hookimpl
    def triggers_resolve_task(self):
        return trigger_task(lambda context: None)


class LoadManager(TriggerManager):
    name = "load"
    default_task_runner_name = "here"


plugins = Plugins(load_entry_points=False)
plugins.use_runner(HereRunner())
plugins.register(Tasks())
storage = PostgresStorage(url, schema=schema, pool_size=threads, timeout=60.0)


def live(number):
    case = LoadManager(f"case-{number}", storage=storage, plugins=plugins)
    case.update_configuration(CONFIGURATION)
    case.fire("a", event_id="first")
    case.fire_many([("b",), ("c", {"number": number})])
    return case.instance("join#0").status.value


with ThreadPoolExecutor(threads) as pool:
    ends = list(pool.map(live, range(first, count, step)))
assert set(ends) == {"finished"}, ends
storage.close()
"""


class Pooler:
    """A pgbouncer in transaction mode, in front of the database that a URL leads to.

    Attributes:
        url: leads to the same database, through it.
        version: as it says itself.
        follows_prepared_statements: whether it can, and whether libpq lets psycopg end them.
    """

    def __init__(self, program, url, folder):
        known = {"host": "127.0.0.1", "port": "5432", **conninfo_to_dict(url)}
        keys = ("host", "port", "user", "password", "dbname")
        port = free_port()
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        self.version = said.stdout.split()[1]
        follows = tuple(map(int, self.version.split(".")[:2])) >= FOLLOWS
        self.follows_prepared_statements = follows and capabilities.has_send_close_prepared()
        ini = folder / "pgbouncer.ini"
        ini.write_text(
            INI.format(
                database=known["dbname"],
                target=make_conninfo(**{key: known[key] for key in keys if key in known}),
                port=port,
                size=SERVER_CONNECTIONS,
            )
            + ("max_prepared_statements = 100\n" if follows else "")
        )
        self.url = f"postgresql://anybody@127.0.0.1:{port}/{known['dbname']}"
        self._log = folder / "pgbouncer.log"
        # It refuses to be root, and becomes another once it has read its file.
        becoming = ["-u", "nobody"] if os.geteuid() == 0 else []
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([program, *becoming, ini], stdout=log, stderr=log)
        self._wait()

    def close(self):
        self._process.kill()
        self._process.wait(START_SECONDS)

    def _wait(self):
        until = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url).close()
                return
            time.sleep(0.02)
        self.close()
        raise AssertionError(f"pgbouncer does not serve: {self._log.read_text()}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def pooler(url, tmp_path_factory):
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    program = os.environ.get(VARIABLE) or shutil.which("pgbouncer", path=path)
    if program is None:
        message = f"no pgbouncer; apt-get install pgbouncer, or say in {VARIABLE} where one is"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    pooler = Pooler(program, url, tmp_path_factory.mktemp("pooler"))
    yield pooler
    pooler.close()


class TestPostgresStorageThroughAPooler(StorageConformance):
    shared_by_processes = True

    @pytest.fixture(autouse=True)
    def keep_maker(self, make_storage, pooler):
        self._make = lambda: make_storage(pooler.url)

    def make_storage(self, tmp_path):
        return self._make()


def test_many_sessions_of_threads_and_processes_live_to_their_end(pooler, schema, make_storage):
    storage = make_storage()
    list(storage.sessions())  # the tables are there
    numbers = [str(each) for each in (PROCESSES, SESSIONS, THREADS)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD, pooler.url, schema, str(first), *numbers],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for first in range(PROCESSES)
    ]
    said = [process.communicate(timeout=DEADLINE_SECONDS)[0] for process in processes]
    assert said == [""] * PROCESSES

    uids = [uid for uid, _ in storage.sessions()]
    assert len(uids) == SESSIONS
    for uid in uids:
        with storage.read(uid) as reader:
            assert [each.status for each in reader.instances()] == [Status.FINISHED]


@pytest.fixture
def in_each_transaction(pooler):
    """Return a function that asks every connection that the pooler has to the server, which it
    keeps apart by having all of them in a transaction."""

    def ask(question):
        with ExitStack() as stack:
            clients = [
                stack.enter_context(psycopg.connect(pooler.url, prepare_threshold=None))
                for _ in range(SERVER_CONNECTIONS)
            ]
            return [client.execute(question).fetchone() for client in clients]

    return ask


def test_nothing_is_left_on_connections_that_others_get_next(
    pooler, make_storage, open_session, in_each_transaction
):
    manager = open_session(make_storage(pooler.url), configuration=CONFIGURATION)
    for _ in range(OFTEN):
        manager.fire("go")
        manager.instances()

    question = (
        "SELECT current_setting('lock_timeout'), "
        "current_setting('idle_in_transaction_session_timeout'), "
        "(SELECT count(*) FROM pg_prepared_statements)"
    )
    assert set(in_each_transaction(question)) == {("0", "0", 0)}


def test_a_lock_is_waited_for_no_longer_than_without_a_pooler(
    pooler, make_storage, open_session, storage, admin, schema
):
    impatient = open_session(
        make_storage(pooler.url, timeout=IMPATIENT_SECONDS), configuration=CONFIGURATION
    )
    with admin.transaction():
        admin.execute(SQL("SELECT FROM {} FOR UPDATE").format(Identifier(schema, "sessions")))
        with pytest.raises(StorageError, match="holds the session's lock for too long"):
            impatient.fire("go")
    impatient.fire("go")


def prepared(storage, open_session):
    """Return how many statements a connection has prepared that has been used a while."""
    manager = open_session(storage, configuration=CONFIGURATION)
    for _ in range(OFTEN):
        manager.fire("go")
    with storage.read("session") as reader:
        query = "SELECT count(*) FROM pg_prepared_statements"
        return reader._connection.execute(query).fetchone()[0]


def test_without_a_pooler_statements_are_prepared_unless_the_url_says_otherwise(
    url, make_storage, open_session, schema
):
    assert prepared(make_storage(), open_session) > 0
    off = PostgresStorage.from_url(f"{url}?prepare=off&schema={schema}")
    assert prepared(off, open_session) == 0
    off.close()


def test_what_prepare_cannot_be_is_refused(url):
    with pytest.raises(StorageError, match="prepare must be on or off, not 'perhaps'"):
        PostgresStorage.from_url(f"{url}?prepare=perhaps")


def test_a_pooler_that_follows_prepared_statements_may_be_told(
    pooler, make_storage, open_session, in_each_transaction
):
    if not pooler.follows_prepared_statements:
        pytest.skip(f"pgbouncer {pooler.version} does not follow prepared statements")
    assert prepared(make_storage(pooler.url, prepare=True), open_session) > 0
    assert set(in_each_transaction("SELECT current_setting('lock_timeout')")) == {("0",)}
