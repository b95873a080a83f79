"""The statements on the tables of one schema. Each is an index look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import SQL, Composable, Literal

from triggers_core.storage.row import COLUMNS
from triggers_postgres.schema import render

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_KEY = COLUMNS[:2]  # task_name, number
_COLUMNS = SQL(", ").join(map(SQL, COLUMNS))
_VALUES = SQL(", ").join(SQL("%s") for _ in COLUMNS)
_REPLACED = SQL(", ").join(
    SQL("{column} = excluded.{column}").format(column=SQL(column)) for column in COLUMNS[2:]
)


_BY_NUMBER = SQL("%s")
_BY_UID: LiteralString = "(SELECT id FROM {sessions} WHERE uid = %s)"


class LookUps:
    """What is asked of one session, each in one statement, whose first parameter says which.

    Args:
        session: the session's number as the statements have it.
    """

    def __init__(self, schema: str, session: Composable) -> None:
        def statement(text: LiteralString) -> bytes:
            return render(text, schema, columns=_COLUMNS, session=session)

        self.instances = statement("SELECT {columns} FROM {instances} WHERE session_id = {session}")
        self.instance = self.instances + b" AND task_name = %s AND number = %s"
        self.waiting = statement(
            "SELECT {columns} FROM {waiting} "
            "JOIN {instances} USING (session_id, task_name, number) "
            "WHERE session_id = {session} AND trigger_name = %s ORDER BY task_name, number"
        )
        self.waiting_each = statement(
            "SELECT trigger_name, {columns} FROM {waiting} "
            "JOIN {instances} USING (session_id, task_name, number) "
            "WHERE session_id = {session} AND trigger_name = ANY(%s)"
        )
        self.last_numbers = statement(
            "WITH session (id) AS (SELECT {session}) "
            "SELECT name, (SELECT number FROM {instances} "
            "WHERE session_id = (SELECT id FROM session) AND task_name = name "
            "ORDER BY number DESC LIMIT 1) FROM unnest(%s::text[]) AS tasks (name)"
        )
        self.outcomes = statement(
            "SELECT event_id, outcome FROM {events} "
            "WHERE session_id = {session} AND event_id = ANY(%s)"
        )
        self.last_number = statement(
            "SELECT number FROM {instances} WHERE session_id = {session} AND task_name = %s "
            "ORDER BY number DESC LIMIT 1"
        )
        self.latest = statement(
            "SELECT name, kwargs FROM {triggers} WHERE session_id = {session} AND name = ANY(%s)"
        )
        self.firing_count = statement(
            "SELECT coalesce((SELECT position FROM {firings} "
            "WHERE session_id = {session} AND name = %s ORDER BY position DESC LIMIT 1), 0) "
            "+ (SELECT count(*) FROM {triggers} "
            "WHERE session_id = {session} AND name = %s AND NOT is_logged)"
        )
        self.firings = statement(
            "SELECT kwargs FROM {firings} WHERE session_id = {session} AND name = %s "
            "ORDER BY position LIMIT %s"
        )
        self.fired = statement("SELECT name FROM {triggers} WHERE session_id = {session}")
        self.last_fired_at = statement(
            "SELECT max(fired_at) FROM {triggers} WHERE session_id = {session}"
        )
        self.outcome = statement(
            "SELECT outcome FROM {events} WHERE session_id = {session} AND event_id = %s"
        )
        self.active = statement(
            "SELECT 1 FROM {instances} WHERE session_id = {session} "
            "AND status IN ('scheduled', 'running') LIMIT 1"
        )


class Statements(LookUps):
    """All statements. Their look-ups are by the session's number; ``by_uid`` are the same for who
    does not know it yet."""

    def __init__(self, schema: str) -> None:
        super().__init__(schema, _BY_NUMBER)
        self.by_uid = LookUps(schema, SQL(render(_BY_UID, schema).decode()))

        def statement(text: LiteralString) -> bytes:
            return render(text, schema, columns=_COLUMNS, values=_VALUES, replaced=_REPLACED)

        self.find = statement(
            "SELECT id, manager_name, config_digest, closed FROM {sessions} WHERE uid = %s"
        )
        self.open_or_make = statement(
            # Locked where it is there, and made where it is not: in one go. No row comes back where
            # another has made it just now, or deletes it: then it is asked again.
            """
            WITH found AS (
                SELECT id, manager_name, config_digest, closed FROM {sessions}
                WHERE uid = %(uid)s FOR UPDATE
            ), made AS (
                INSERT INTO {sessions} (uid, manager_name)
                SELECT %(uid)s, %(manager_name)s WHERE NOT EXISTS (SELECT FROM found)
                ON CONFLICT DO NOTHING
                RETURNING id, manager_name, config_digest, closed
            )
            SELECT id, manager_name, config_digest, closed, pg_current_xact_id()::text
            FROM (TABLE found UNION ALL TABLE made) AS opened
            """
        )
        self.has_trace = statement(
            "SELECT EXISTS (SELECT FROM ("
            "SELECT xmin FROM {sessions} WHERE id = %(id)s "
            "UNION ALL SELECT xmin FROM {instances} WHERE session_id = %(id)s "
            "UNION ALL SELECT xmin FROM {triggers} WHERE session_id = %(id)s "
            "UNION ALL SELECT xmin FROM {events} WHERE session_id = %(id)s"
            ") AS rows (writer) WHERE writer = %(by)s::xid8::xid)"
        )
        self.keep_configuration = statement(
            "INSERT INTO {configurations} (digest, body) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        )
        self.configure = statement("UPDATE {sessions} SET config_digest = %s WHERE id = %s")
        self.close = statement("UPDATE {sessions} SET closed = %s WHERE id = %s")
        self.save = statement(
            "INSERT INTO {instances} (session_id, {columns}) VALUES (%s, {values}) "
            "ON CONFLICT (session_id, task_name, number) DO UPDATE SET {replaced}"
        )
        self.wait = statement(
            "INSERT INTO {waiting} (session_id, task_name, number, trigger_name) "
            "SELECT %s, %s, %s, unnest(%s::text[])"
        )
        self.wait_no_more = statement(
            "DELETE FROM {waiting} WHERE session_id = %s AND task_name = %s AND number = %s "
            "AND trigger_name = ANY(%s)"
        )
        self.remember = statement(
            "INSERT INTO {triggers} (session_id, name, kwargs, fired_at, is_logged) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (session_id, name) DO UPDATE "
            "SET kwargs = excluded.kwargs, fired_at = excluded.fired_at, "
            "is_logged = excluded.is_logged"
        )
        self.log_firing = statement(
            "INSERT INTO {firings} (session_id, name, position, kwargs, fired_at) "
            "SELECT %(id)s, %(name)s, coalesce((SELECT position FROM {firings} WHERE "
            "session_id = %(id)s AND name = %(name)s ORDER BY position DESC LIMIT 1), 0) + 1, "
            "%(kwargs)s, %(at)s"
        )
        self.log_latest = statement(
            "WITH latest AS (UPDATE {triggers} SET is_logged = true "
            "WHERE session_id = %(id)s AND name = %(name)s AND NOT is_logged "
            "RETURNING kwargs, fired_at) "
            "INSERT INTO {firings} (session_id, name, position, kwargs, fired_at) "
            "SELECT %(id)s, %(name)s, coalesce((SELECT position FROM {firings} WHERE "
            "session_id = %(id)s AND name = %(name)s ORDER BY position DESC LIMIT 1), 0) + 1, "
            "kwargs, fired_at FROM latest"
        )
        self.record = statement(
            "INSERT INTO {events} (session_id, event_id, outcome) VALUES (%s, %s, %s)"
        )
        self._take_lost = (
            # What is under change is not lost: it is skipped, and never waited for.
            """
            WITH lost AS (
                SELECT session_id, task_name, number, recover_at AS lost_at, manager_name, uid
                FROM {instances} JOIN {sessions} ON sessions.id = instances.session_id
                WHERE recover_at <= %(now)s
                ORDER BY recover_at
                LIMIT {limit}
                FOR UPDATE OF instances, sessions SKIP LOCKED
            ), held AS (
                UPDATE {instances} SET recover_at = %(hold_until)s
                FROM lost
                WHERE instances.session_id = lost.session_id
                AND instances.task_name = lost.task_name AND instances.number = lost.number
                RETURNING lost.lost_at, lost.manager_name, lost.uid, instances.*
            )
            SELECT manager_name, uid, {columns} FROM held ORDER BY lost_at
            """
        )
        self.renew = statement(
            # No session is locked, and none that is locked is waited for: only the row itself may
            # be under change, and is left to whoever changes it. READ COMMITTED looks again at a
            # row that has changed, so that nothing is renewed that has ended.
            """
            WITH alive AS (
                SELECT instances.session_id, task_name, number, held.seconds
                FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::float8[])
                    AS held (uid, task_name, number, seconds)
                JOIN {sessions} USING (uid)
                JOIN {instances} USING (task_name, number)
                WHERE instances.session_id = sessions.id AND status = 'running'
                FOR UPDATE OF instances SKIP LOCKED
            )
            UPDATE {instances}
            SET recover_at = extract(epoch FROM clock_timestamp())::float8 + alive.seconds
            FROM alive
            WHERE instances.session_id = alive.session_id
            AND instances.task_name = alive.task_name AND instances.number = alive.number
            AND status = 'running'
            """
        )
        self._schema = schema
        self.sessions = statement(
            "SELECT id, uid, manager_name FROM {sessions} WHERE id > %s ORDER BY id LIMIT %s"
        )
        self.configuration = statement("SELECT body FROM {configurations} WHERE digest = %s")
        self.delete = (
            statement("DELETE FROM {waiting} WHERE session_id = %s"),
            statement("DELETE FROM {instances} WHERE session_id = %s"),
            statement("DELETE FROM {triggers} WHERE session_id = %s"),
            statement("DELETE FROM {firings} WHERE session_id = %s"),
            statement("DELETE FROM {events} WHERE session_id = %s"),
            statement("DELETE FROM {sessions} WHERE id = %s"),
        )

    def take_lost(self, limit: int) -> bytes:
        """Return the statement that takes so many. It says the number itself: for one that is a
        parameter the server may plan to look at each instance there is."""
        return render(self._take_lost, self._schema, columns=_COLUMNS, limit=Literal(limit))
