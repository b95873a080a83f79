"""The servers of a round: a Redis of its own to restart, a schema, a queue, all gone at its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import uuid
from pathlib import Path
from typing import Any

POSTGRESQL = os.environ.get("TRIGGERS_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/test")
REDIS_PORT, RABBITMQ_PORT, POSTGRESQL_PORT = 6379, 5672, 5432
REDIS_DATABASE = 7
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""How a PostgreSQL server answers a COMMIT."""


class OwnRedis:
    """A Redis that is there to be restarted. It keeps each write before it answers.

    Args:
        folder: for its data.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "redis"
        self._folder.mkdir()
        self.port = _free_port()
        self._start()

    def restart(self, *, with_data: bool) -> None:
        """End it by kill -9, and start it again at once."""
        self.stop()
        if not with_data:
            shutil.rmtree(self._folder)
            self._folder.mkdir()
        self._start()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly yes --appendfsync always"
        self._process = subprocess.Popen(
            ["redis-server", *options.split(), "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )


class Schema:
    """A schema in the PostgreSQL under test.

    The connections of the round are called by its name, so that others are let alone.
    """

    def __init__(self) -> None:
        self.name = f"faults_{uuid.uuid4().hex}"

    def url(self, port: int, application_name: str) -> str:
        """Return the storage's URL, by way of a port of this machine."""
        address = POSTGRESQL.replace(f":{POSTGRESQL_PORT}/", f":{port}/")
        return f"{address}?schema={self.name}&application_name={application_name}"

    def terminate_connections(self) -> bool:
        """End every connection of the round, as the database's administrator can; return whether
        there was any."""
        with _administrator() as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = %s",
                (self.name,),
            ).fetchall()
        return bool(ended)

    def drop(self) -> None:
        self.terminate_connections()
        with _administrator() as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{self.name}" CASCADE')


def _administrator() -> Any:
    import psycopg  # noqa: PLC0415 - only where it is the storage

    return psycopg.connect(POSTGRESQL, autocommit=True)


def broker_url(runner: str, port: int) -> str:
    if runner == "celery-redis":
        return f"redis://127.0.0.1:{port}/{REDIS_DATABASE}"
    return f"amqp://guest:guest@127.0.0.1:{port}//"


def forget_queue(runner: str, queue: str) -> None:
    """Delete what the round has left in the machine's own broker."""
    if runner == "celery-redis":
        import redis  # noqa: PLC0415 - a broker's client where it is the broker

        with redis.Redis(port=REDIS_PORT, db=REDIS_DATABASE) as client:
            for key in client.scan_iter(f"{queue}*"):
                client.delete(key)
        return
    import kombu  # noqa: PLC0415

    with kombu.Connection(broker_url(runner, RABBITMQ_PORT)) as connection:
        channel = connection.default_channel
        with contextlib.suppress(connection.channel_errors):
            channel.queue_delete(queue)
        with contextlib.suppress(connection.channel_errors):
            connection.channel().exchange_delete(queue)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
