"""The tables, and how a database comes to have them: made by whoever comes first, upgraded by
whoever is newer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from psycopg import errors
from psycopg.sql import SQL, Composable, Identifier

from triggers_core.errors import InvalidStorage, SchemaVersionError, StorageError
from triggers_postgres.server import Connection

if TYPE_CHECKING:
    from typing_extensions import LiteralString

TABLES = (
    "meta",
    "configurations",
    "sessions",
    "instances",
    "waiting",
    "triggers",
    "firings",
    "events",
)

# Names compare and sort by code point, as everywhere in triggers, whatever the database's locale.
_VERSION_1: LiteralString = """
CREATE TABLE {meta} (
    version integer NOT NULL
);
INSERT INTO {meta} VALUES (0);
CREATE TABLE {configurations} (
    digest text COLLATE "C" PRIMARY KEY,
    body text NOT NULL
);
CREATE TABLE {sessions} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid text COLLATE "C" NOT NULL UNIQUE,
    manager_name text NOT NULL,
    config_digest text
);
CREATE TABLE {instances} (
    session_id bigint NOT NULL,
    task_name text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    status text NOT NULL,
    attempt integer NOT NULL,
    parent text,
    config_digest text NOT NULL,
    trigger_kwargs text NOT NULL,
    waits_for text NOT NULL,
    not_before double precision NOT NULL,
    created_at double precision NOT NULL,
    changed_at double precision NOT NULL,
    recover_at double precision,
    reruns_left integer NOT NULL,
    metadata text NOT NULL,
    PRIMARY KEY (session_id, task_name, number)
);
CREATE INDEX active_instances ON {instances} (session_id)
    WHERE status IN ('scheduled', 'running');
CREATE INDEX recoverable_instances ON {instances} (recover_at)
    WHERE recover_at IS NOT NULL;
CREATE TABLE {waiting} (
    session_id bigint NOT NULL,
    trigger_name text COLLATE "C" NOT NULL,
    task_name text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (session_id, trigger_name, task_name, number)
);
CREATE TABLE {triggers} (
    session_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    kwargs text NOT NULL,
    fired_at double precision NOT NULL,
    PRIMARY KEY (session_id, name)
);
CREATE TABLE {events} (
    session_id bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    PRIMARY KEY (session_id, event_id)
);
"""

_VERSION_2: LiteralString = """
ALTER TABLE {sessions} ADD COLUMN closed text;
ALTER TABLE {instances} ADD COLUMN counts text;
ALTER TABLE {triggers} ADD COLUMN is_logged boolean NOT NULL DEFAULT false;
CREATE TABLE {firings} (
    session_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    kwargs text NOT NULL,
    fired_at double precision NOT NULL,
    PRIMARY KEY (session_id, name, position)
);
"""

STEPS: tuple[LiteralString, ...] = (_VERSION_1, _VERSION_2)
"""What leads from each version to the next; the first makes the tables."""

VERSION = len(STEPS)
"""Equal to the core's ``SCHEMA_VERSION``, which says what a row of ``instances`` means."""

_LOCK = 0x74726967
"""``trig``: the advisory lock under which tables are made, together with the schema's name."""
_MAX_IDENTIFIER_BYTES = 63

_logger = logging.getLogger(__name__)


def check_schema_name(name: str) -> str:
    """Return the name if PostgreSQL takes it as it is, and does not cut it. Raises StorageError."""
    is_text = name.isprintable() and "%" not in name
    if not name or not is_text or len(name.encode()) > _MAX_IDENTIFIER_BYTES:
        raise InvalidStorage(
            f"schema {name!r} cannot be the name of a PostgreSQL schema; "
            f"use 1 to {_MAX_IDENTIFIER_BYTES} bytes, all of them printable, and no '%'"
        )
    return name


def render(statement: LiteralString, schema: str, **names: Composable) -> bytes:
    """Return the statement with each ``{table}`` as the name of that table in the schema."""
    tables = {table: Identifier(schema, table) for table in TABLES}
    return SQL(statement).format(**tables, **names).as_bytes(None)


def prepare_schema(connection: Connection, schema: str) -> None:
    """Bring the schema to :data:`VERSION`. Of many who do this at once, one does it.

    Raises:
        SchemaVersionError: it is newer, or its tables are not ours.
        StorageError: it is older, and this role may not alter it.
    """
    before = _version(connection, schema)
    if before == VERSION:
        return
    connection.begin("ISOLATION LEVEL READ COMMITTED")
    try:
        before = _take_steps(connection, schema)
        connection.execute("COMMIT")
    except errors.DuplicateTable as error:
        connection.rollback()
        raise _foreign(schema) from error
    except errors.InsufficientPrivilege as error:
        connection.rollback()
        if before:
            raise _not_to_be_altered(schema, before) from error
        raise
    except BaseException:
        connection.rollback()
        raise
    if 0 < before < VERSION:
        _logger.info("schema %r: upgraded from version %d to %d", schema, before, VERSION)


def _take_steps(connection: Connection, schema: str) -> int:
    """Take those that are left, in the transaction that is open; return the version before."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, schema))
    # A role that may use the schema, but make none, is not asked to.
    if not _exists(connection, schema):
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
    before = _version(connection, schema)
    for step in STEPS[before:]:
        connection.execute(render(step, schema))
    connection.execute(render("UPDATE {meta} SET version = %s", schema), (VERSION,))
    return before


def _exists(connection: Connection, schema: str) -> bool:
    query = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s"
    return connection.execute(query, (schema,)).fetchone() is not None


def _version(connection: Connection, schema: str) -> int:
    """Return the schema's version, 0 where there is nothing yet. Raises SchemaVersionError."""
    meta = Identifier(schema, "meta").as_string(None)
    row = connection.execute("SELECT to_regclass(%s)", (meta,)).fetchone()
    assert row is not None  # a SELECT without FROM has one row
    if row[0] is None:
        return 0
    try:
        rows = connection.execute(render("SELECT version FROM {meta}", schema)).fetchall()
    except errors.UndefinedColumn as error:
        raise _foreign(schema) from error
    if len(rows) != 1 or not isinstance(rows[0][0], int):
        raise _foreign(schema)
    version: int = rows[0][0]
    if version > VERSION:
        raise SchemaVersionError(
            f"the PostgreSQL schema {schema!r} has version {version} of triggers' tables, and "
            f"this triggers-postgres knows versions up to {VERSION}: "
            "pip install --upgrade triggers-postgres"
        )
    return version


def _not_to_be_altered(schema: str, version: int) -> StorageError:
    return StorageError(
        f"the PostgreSQL schema {schema!r} has version {version} of triggers' tables, which this "
        f"triggers-postgres upgrades to {VERSION}, and this role may not alter them: open it once "
        "as the role that owns them"
    )


def _foreign(schema: str) -> SchemaVersionError:
    return SchemaVersionError(
        f"the PostgreSQL schema {schema!r} has tables of another application with the names that "
        "triggers needs; choose another schema, as in postgresql://…?schema=my_triggers"
    )
