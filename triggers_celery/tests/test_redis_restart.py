"""Redis is restarted while a task runs: the worker takes messages again.

With Celery 5.7.0 it does so by the transport that the guide shows, which is taken from there.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from importlib import metadata
from pathlib import Path

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis

GUIDE = Path(__file__).parents[2] / "docs" / "celery.md"
MODULE = "redis_transport"
UNMENDED = metadata.version("celery") == "5.7.0"
DEADLINE = 60.0
"""Seconds. Far more than anything here takes."""


class OwnRedis:
    """A Redis that is there to be restarted. It keeps each write before it answers."""

    def __init__(self, folder):
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.start()

    def start(self):
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly yes --appendfsync always"
        self._process = subprocess.Popen(
            ["redis-server", *options.split(), "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + DEADLINE
        while not self._answers():
            assert time.monotonic() < give_up, "redis-server does not start"

    def kill(self):
        self._process.kill()
        self._process.wait()

    def _answers(self):
        with Redis(port=self.port) as client:
            try:
                return client.ping()
            except RedisConnectionError:
                return False


@pytest.fixture
def own_redis(tmp_path):
    if shutil.which("redis-server") is None:
        message = "no redis-server is installed, so there is none to restart"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    server = OwnRedis(tmp_path)
    yield server
    server.kill()


class OwnBroker:
    """What a shop asks of a broker."""

    def __init__(self, url):
        self._url = url

    def settings(self):
        return {"broker_url": self._url, "task_default_queue": "restarted"}


@pytest.fixture
def transport(tmp_path):
    """Return the environment in which a worker finds the guide's transport."""
    (block,) = re.findall(
        rf'```python title="{MODULE}\.py"\n(.*?)```', GUIDE.read_text(encoding="utf-8"), re.DOTALL
    )
    (tmp_path / f"{MODULE}.py").write_text(block, encoding="utf-8")
    path = filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))
    return {"PYTHONPATH": os.pathsep.join(path)}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            {},
            marks=pytest.mark.xfail(
                UNMENDED, reason="Celery 5.7.0 takes no more, and then exits", strict=True
            ),
            id="as it is",
        ),
        pytest.param({"broker_transport": f"{MODULE}:Transport"}, id="with the guide's transport"),
    ],
)
def test_a_worker_takes_messages_again_after_redis_was_away(
    open_shop, own_redis, transport, tmp_path, wait_until, settings
):
    shop = open_shop(OwnBroker(f"redis://127.0.0.1:{own_redis.port}"))
    worker_settings = json.dumps({**json.loads(shop.environment["ORDERS_SETTINGS"]), **settings})
    worker = shop.start_worker(environment={**transport, "ORDERS_SETTINGS": worker_settings})
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    running = shop.session({"t_first": {"after": ["go"], "run": "orders.wait_for_gate"}})
    running.fire("go", {"gate": str(gate)})
    wait_until(lambda: shop.traces_of(running), "the task to start")

    own_redis.kill()
    lost = "Connection to broker lost"
    wait_until(lambda: lost in worker.log(), "the worker to notice")
    own_redis.start()
    gate.write_text("go on")
    later = shop.session({"t_first": {"after": ["go"], "run": "orders.note"}})
    later.fire("go")
    wait_until(lambda: shop.traces_of(later) or not worker.is_alive(), "the next task to run")

    assert worker.is_alive(), worker.log()
    shop.settle()
    assert running.instance("t_first#0").metadata["result"] == {"word": "go on"}
    assert later.instance("t_first#0").status == "finished"
