"""What a signal's handler raises, as Celery's does at a soft time limit, leaves nothing behind: no
lock of a session, no connection that is lent for ever, no thread that may open nothing more."""

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from triggers_core import StorageError
from triggers_postgres.connections import Connections, _Loan
from triggers_postgres.session import PostgresReader, PostgresWork


class Interruption(Exception):
    pass


def read(storage):
    with storage.read("s") as reader:
        reader.manager_name()


def write(storage):
    with storage.transaction("s", "m"):
        pass


def interrupt(monkeypatch, owner, name, *, after):
    """Have the next call of a method raise, before it does anything or after it has."""
    method = getattr(owner, name)

    def interrupted(*arguments, **options):
        monkeypatch.setattr(owner, name, method)
        if after:
            method(*arguments, **options)
        raise Interruption

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize(
    ("use", "owner", "name", "after"),
    [
        (write, PostgresWork, "open_or_make", True),
        (write, PostgresWork, "commit", False),
        (write, PostgresWork, "commit", True),
        (read, PostgresReader, "open", True),
        (read, psycopg.Connection, "rollback", False),
        (read, psycopg.Connection, "rollback", True),
        (read, Connections, "_begin", True),
        (read, _Loan, "end", False),
        (write, _Loan, "end", False),
        (write, _Loan, "end", True),
    ],
)
def test_an_interruption_leaves_nothing_behind(make_storage, monkeypatch, use, owner, name, after):
    storage, other = (make_storage(pool_size=1, timeout=5.0) for _ in range(2))
    write(storage)
    interrupt(monkeypatch, owner, name, after=after)
    with pytest.raises(Interruption):
        use(storage)

    write(other)
    for again in (write, read):
        again(storage)


def test_a_pool_that_cannot_be_opened_is_made_again(make_storage, monkeypatch):
    storage = make_storage()
    interrupt(monkeypatch, ConnectionPool, "open", after=False)
    with pytest.raises(Interruption):
        write(storage)
    write(storage)


@pytest.mark.parametrize("schema", ["", "a%", "a\0b", "a\ud800", "x" * 64])
def test_a_schema_that_cannot_be_one_is_refused_at_once(make_storage, schema):
    with pytest.raises(StorageError, match="cannot be the name of a PostgreSQL schema"):
        make_storage(schema=schema)


@pytest.mark.parametrize("hosts", ["h1,h2", "h1,h2:5433", "127.0.0.1,127.0.0.1:5432"])
def test_several_hosts_are_a_url(make_storage, hosts):
    make_storage(f"postgresql://{hosts}/db")
