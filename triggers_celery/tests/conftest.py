"""Real brokers, real workers: an application with a worker process of its own on either broker.

The application is ``app/orders.py``. A worker is ``celery -A orders worker`` with the prefork
pool, started when a module needs it and stopped by its process id.
"""

import importlib.util
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing, suppress
from pathlib import Path

import pytest
from kombu import Connection
from redis import Redis

from triggers_celery import CeleryTaskRunner
from triggers_core import Plugins, SqliteStorage, TriggerManager

APP_FOLDER = Path(__file__).parent / "app"
DEADLINE = 60.0
"""Seconds. Far more than anything here takes."""
POLL_SECONDS = 0.02
LOG_LINES = 60

_live_workers = []


def _wait_until(condition, what):
    give_up = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < give_up, f"after {DEADLINE} s, still waiting for {what}"
        time.sleep(POLL_SECONDS)
    return found


@pytest.fixture(scope="session")
def wait_until():
    """Return a function (condition, what for) that returns what the condition does, once true."""
    return _wait_until


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for worker in _live_workers:
            tail = "\n".join(worker.log().splitlines()[-LOG_LINES:])
            report.sections.append((f"log of the worker {worker.name}", tail))
    return report


class Broker:
    """One broker, with names on it that no other run of the tests uses."""

    def __init__(self, name, url):
        self.name = name
        self.url = url
        self.prefix = f"triggers-{uuid.uuid4().hex[:8]}"
        self._queues = []
        try:
            with Connection(url, connect_timeout=5) as connection:
                connection.ensure_connection(max_retries=1, interval_start=0.1)
        except Exception as error:
            message = (
                f"no {name} answers at {url}; start one there, or name one in {_variable(name)}"
            )
            if os.environ.get("CI") == "true":
                pytest.fail(f"{message}: {error}")
            pytest.skip(message)

    def new_queue(self):
        """Return the name of a queue that is deleted in the end."""
        self._queues.append(f"{self.prefix}-{len(self._queues)}")
        return self._queues[-1]

    def settings(self, **transport_options):
        """Return what an app on this broker is configured with."""
        queue = self.new_queue()
        if self.name == "redis":
            for key in ("unacked_key", "unacked_index_key", "unacked_mutex_key"):
                transport_options[key] = f"{queue}-{key}"
        return {
            "broker_url": self.url,
            "broker_transport_options": transport_options,
            "task_default_queue": queue,
            "worker_enable_remote_control": False,
        }

    def clean_up(self):
        if self.name == "redis":
            with Redis.from_url(self.url) as client:
                for key in client.scan_iter(f"*{self.prefix}*"):
                    client.delete(key)
            return
        with Connection(self.url) as connection:
            for name in self._queues:
                connection.default_channel.queue_delete(name)
                connection.default_channel.exchange_delete(name)


def _variable(broker_name):
    return f"TRIGGERS_TEST_{broker_name.upper()}"


def _broker(name, default_url):
    broker = Broker(name, os.environ.get(_variable(name), default_url))
    yield broker
    broker.clean_up()


@pytest.fixture(scope="session")
def redis():
    yield from _broker("redis", "redis://127.0.0.1:6379/13")


@pytest.fixture(scope="session")
def rabbitmq():
    yield from _broker("rabbitmq", "amqp://guest:guest@127.0.0.1:5672//")


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def broker(request):
    return request.getfixturevalue(request.param)


class Worker:
    """A process ``celery -A orders worker``, ready to take messages."""

    def __init__(self, folder, name, environment, *, queue, concurrency):
        self.name = name
        self._log = folder / f"{name}.log"
        ready, told_by_worker = os.pipe()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "orders", "worker"),
                    *("--pool", "prefork", "--concurrency", str(concurrency), "--queues", queue),
                    *("--hostname", f"{name}@test", "--loglevel", "INFO"),
                    *("--without-mingle", "--without-gossip"),
                ],
                cwd=APP_FOLDER,
                env={**os.environ, **environment, "ORDERS_READY": str(told_by_worker)},
                pass_fds=[told_by_worker],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(told_by_worker)
        _live_workers.append(self)
        with open(ready, "rb") as pipe:
            is_told, _, _ = select.select([pipe], [], [], DEADLINE)
            if not is_told or pipe.read(5) != b"ready":
                self.kill()
                pytest.fail(f"the worker {name} did not start:\n{self.log()}")

    def log(self):
        return self._log.read_text()

    def is_alive(self):
        return self._process.poll() is None

    def ask_to_stop(self):
        """Tell it to finish what it runs, and end."""
        self._process.send_signal(signal.SIGTERM)

    def wait_for_end(self):
        try:
            self._process.wait(DEADLINE / 2)
        except subprocess.TimeoutExpired:
            print(f"the worker {self.name} did not stop, and is killed:\n{self.log()}")
        self.kill()

    def kill(self):
        """End it and its children at once, as the loss of their machine does."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        if self in _live_workers:
            _live_workers.remove(self)


def load_orders(settings):
    """Return the application's module, made anew for an app of its own."""
    spec = importlib.util.spec_from_file_location("orders", APP_FOLDER / "orders.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "ORDERS_SETTINGS", json.dumps(settings))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", name="load_orders")
def load_orders_fixture():
    return load_orders


class Shop:
    """The application on one broker: its Celery app and plugins in this process, as a web server
    has them, and the workers that were started for it.

    ``storage`` is the one that ``TRIGGERS_STORAGE`` names; ``ledger`` is known by its alias.
    """

    def __init__(self, folder, settings):
        self.folder = folder
        self.traces = folder / "traces"
        self.traces.touch()
        self.environment = {
            "ORDERS_SETTINGS": json.dumps(settings),
            "ORDERS_TRACES": str(self.traces),
            "ORDERS_LEDGER": str(folder / "ledger.db"),
            "TRIGGERS_STORAGE": f"sqlite:///{folder / 'triggers.db'}",
        }
        self.queue = settings["task_default_queue"]
        orders = load_orders(settings)
        self.app = orders.app
        self.hasty_manager = orders.HastyManager
        self.plugins = Plugins()
        self.plugins.use_runner(CeleryTaskRunner(self.app))
        self.plugins.managers.add(self.hasty_manager)
        self.storage = self.plugins.open_storage(self.environment["TRIGGERS_STORAGE"])
        self.ledger = SqliteStorage(folder / "ledger.db", alias="ledger", synchronous="NORMAL")
        self.plugins.add_storage(self.storage)
        self.plugins.add_storage(self.ledger)
        self._workers = []

    def start_worker(self, name="worker", *, queue=None, concurrency=2, environment=None):
        worker = Worker(
            self.folder,
            name,
            {**self.environment, **(environment or {})},
            queue=queue or self.queue,
            concurrency=concurrency,
        )
        self._workers.append(worker)
        return worker

    def session(self, configuration, manager_class=TriggerManager, *, storage=None):
        """Return the manager of a new session with that configuration."""
        storage = storage or self.storage
        manager = manager_class(uuid.uuid4().hex, storage=storage, plugins=self.plugins)
        manager.update_configuration(configuration)
        return manager

    def take_message(self, queue=None):
        """Return the next message as the broker keeps it, and take it away; None without one."""
        with self.app.connection_for_read() as connection:
            return connection.default_channel.basic_get(queue or self.queue, no_ack=True)

    def traces_of(self, manager):
        """Return the names of the session's instances whose task ran, one for each time."""
        lines = [line.split(" ", maxsplit=1) for line in self.traces.read_text().splitlines()]
        return [name for session_uid, name in lines if session_uid == manager.session_uid]

    def settle(self, storage=None):
        """Wait until no instance in the store is scheduled or running."""
        query = "SELECT NOT EXISTS (SELECT 1 FROM instances WHERE recover_at IS NOT NULL)"
        with closing(sqlite3.connect((storage or self.storage).path)) as connection:
            _wait_until(lambda: connection.execute(query).fetchone()[0], "all tasks to end")

    def ask_workers_to_stop(self):
        for worker in _live_workers:
            if worker in self._workers:
                worker.ask_to_stop()

    def close(self):
        for worker in self._workers:
            if worker in _live_workers:
                worker.wait_for_end()
        self.app.close()
        self.storage.close()
        self.ledger.close()


@pytest.fixture(scope="module")
def open_shop(tmp_path_factory):
    """Return a function (broker) → Shop, which closes when the module's tests are over."""
    shops = []

    def open_shop(broker, *, transport_options=None, **settings):
        settings = {**broker.settings(**(transport_options or {})), **settings}
        shops.append(Shop(tmp_path_factory.mktemp("shop"), settings))
        return shops[-1]

    yield open_shop
    for shop in shops:
        shop.ask_workers_to_stop()
    for shop in shops:
        shop.close()
