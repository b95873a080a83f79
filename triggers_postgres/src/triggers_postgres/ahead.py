"""What a transaction is going to ask, read in the round trip that begins it, and kept in step with
what the transaction writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triggers_core.storage.base import Foreseen

if TYPE_CHECKING:
    import psycopg

    from triggers_postgres.server import Connection
    from triggers_postgres.statements import LookUps

Row = tuple[Any, ...]
Key = tuple[str, int]
"""Task name and number."""

NOTHING = Foreseen()


class Ahead:
    """Answers by what they answer. What is in none of these must be asked of the server.

    Attributes:
        instances: the row of an instance, None where there is none.
        waiting: trigger name → the instances that wait for it, by task name and number.
        last_numbers: task name → the highest number of its instances, None where it has none.
        latest: trigger name → its latest kwargs as they are kept, None where it has not fired.
        outcomes: event → what was recorded for it, None where nothing was.
    """

    def __init__(self, look_ups: LookUps, session_uid: str, foreseen: Foreseen) -> None:
        self._look_ups = look_ups
        self._uid = session_uid
        self._foreseen = foreseen
        self._answers: list[psycopg.Cursor[Any]] = []
        self.clear()

    def clear(self) -> None:
        """Know nothing any more."""
        self.instances: dict[Key, Row | None] = {}
        self.waiting: dict[str, dict[Key, Row]] = {}
        self.last_numbers: dict[str, Any] = {}
        self.latest: dict[str, Any] = {}
        self.outcomes: dict[str, Any] = {}

    def ask(self, connection: Connection) -> None:
        """Send the questions; :meth:`take` has the answers once the pipeline is left."""
        do, foreseen = self._look_ups, self._foreseen
        self._answers = [
            connection.execute(do.instance, (self._uid, *key)) for key in foreseen.instances
        ]
        for statement, names in (
            (do.waiting_each, foreseen.triggers),
            (do.last_numbers, foreseen.tasks),
            (do.latest, foreseen.latest),
            (do.outcomes, foreseen.events),
        ):
            if names:
                self._answers.append(connection.execute(statement, (self._uid, list(names))))

    def take(self) -> None:
        """Read the answers."""
        foreseen, answers = self._foreseen, iter(self._answers)
        self.instances = {key: next(answers).fetchone() for key in foreseen.instances}
        self.waiting = {name: {} for name in foreseen.triggers}
        if foreseen.triggers:
            for name, *row in next(answers):
                self.waiting[name][row[0], row[1]] = tuple(row)
        if foreseen.tasks:
            self.last_numbers = dict(next(answers))
        for known, names in ((self.latest, foreseen.latest), (self.outcomes, foreseen.events)):
            if names:
                known.update({**dict.fromkeys(names), **dict(next(answers))})

    def saved(self, row: Row, waits_for: frozenset[str]) -> None:
        """The transaction wrote an instance."""
        key = task_name, number = row[0], row[1]
        if key in self.instances:
            self.instances[key] = row
        for name, waiting in self.waiting.items():
            if name in waits_for:
                waiting[key] = row
            else:
                waiting.pop(key, None)
        if task_name in self.last_numbers:
            last = self.last_numbers[task_name]
            self.last_numbers[task_name] = number if last is None else max(last, number)
