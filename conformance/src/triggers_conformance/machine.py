"""Random sessions, driven through the runner and through the plain model, and compared.

What fails is made as short as it gets, and told as a script that can be run by itself.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pprint import pformat
from textwrap import indent
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from triggers_conformance.bench import Bench, Session
from triggers_conformance.model import OUTSIDE, Ending, Model, told_counts
from triggers_conformance.rules import Broken, broken
from triggers_core import InvalidKwargs, Status

WAYS = ("finish", "fail", "retry once", "always retry", "skip", "skip and cascade")
MAX_TASKS = 4
STEPS = 6

Tasks = dict[str, dict[str, Any]]


TRIGGERS = st.integers(0, len(OUTSIDE) + MAX_TASKS - 2)
"""One from outside, or the cascade of an earlier task."""


FROM_OUTSIDE = st.sampled_from(OUTSIDE)
COUNTS = st.fixed_dictionaries(
    {
        "each": FROM_OUTSIDE,
        "times": st.integers(0, 3)
        | st.fixed_dictionaries({"from": FROM_OUTSIDE, "key": st.just("number")}),
    }
)


_in_one_order = partial(json.dumps, sort_keys=True)


def _groups_of(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    of = st.lists(entries, min_size=1, max_size=3, unique_by=_in_one_order)
    return st.one_of(
        st.fixed_dictionaries({"any": of}),
        st.fixed_dictionaries({"all": of}),
        st.fixed_dictionaries({"atLeast": st.integers(1, 3), "of": of}),
    )


CONDITIONS = st.recursive(COUNTS, lambda entries: _groups_of(FROM_OUTSIDE | entries), max_leaves=5)


def configurations() -> st.SearchStrategy[Tasks]:
    """Return the tasks of a session: what each awaits, and the ``way`` in which it ends.

    Cascades that run at the same time may come in any order, so ``unless`` and conditions name
    triggers from outside only, but for a count of one cascade that all else waits for too; every
    other directive leads to the same end in every order.
    """
    # A list of independent parts: what a failure does not need, hypothesis can take out of it.
    rough = st.fixed_dictionaries(
        {
            "after": st.lists(TRIGGERS, min_size=1, max_size=2),
            "way": st.sampled_from(WAYS),
            "andEvery": st.none() | TRIGGERS,
            "unless": st.none() | FROM_OUTSIDE | CONDITIONS,
            "condition": st.none() | CONDITIONS,
            "counted": st.none() | st.tuples(TRIGGERS, st.integers(1, 3)),
        }
    )
    return st.lists(rough, min_size=1, max_size=MAX_TASKS).map(_tasks)


def _tasks(rough_tasks: list[dict[str, Any]]) -> Tasks:
    tasks: Tasks = {}
    for number, rough in enumerate(rough_tasks):
        triggers = [*OUTSIDE, *tasks]
        after = [triggers[index % len(triggers)] for index in rough["after"]]
        task: dict[str, Any] = {"after": list(dict.fromkeys(after)), "way": rough["way"]}
        if rough["andEvery"] is not None:
            task["andEvery"] = triggers[rough["andEvery"] % len(triggers)]
        conditions = [rough["condition"]] if rough["condition"] else []
        if rough["counted"]:
            index, times = rough["counted"]
            count = {"each": triggers[index % len(triggers)], "times": times}
            conditions += [] if count in conditions else [count]
        may_count = "andEvery" not in task
        task["after"] += [each for each in conditions if may_count or not _counts(each)]
        unless = rough["unless"]
        is_named = unless in [None, *after, task.get("andEvery")]
        if not is_named and (may_count or not _counts(unless)):
            task["unless"] = [unless]
        tasks[f"t{number}"] = task
    return tasks


def _counts(entry: Any) -> bool:
    return "'each'" in repr(entry)


class Progress:
    """What one check has found so far. Reports the shortest failure, and ends in time."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._failures: list[str] = []
        self._ends_at: float | None = None

    @property
    def is_over(self) -> bool:
        """Return whether there has been enough time to make the failure shorter."""
        return self._ends_at is not None and time.monotonic() > self._ends_at

    @property
    def shortest_failure(self) -> str | None:
        """The failure with the shortest script, or None."""
        return min(self._failures, key=len, default=None)

    def failed(self, text: str) -> None:
        """Keep a failure; the first one starts the clock."""
        if self._ends_at is None:
            self._ends_at = time.monotonic() + self._timeout
        self._failures.append(text)


class SessionMachine(RuleBasedStateMachine):
    """One random session, on the bench and in the model."""

    def __init__(self, bench: Bench, progress: Progress) -> None:
        super().__init__()
        self._bench = bench
        self._progress = progress
        self._script = Script(bench)
        self._count = 0
        self._session: Session
        self._model: Model

    @initialize(tasks=configurations())
    def configure(self, tasks: Tasks) -> None:
        """Begin a session."""
        self._model = Model(tasks)
        directives = {name: to_directives(task) for name, task in tasks.items()}
        self._script.add(_call("session = bench.session", directives))
        self._session = self._bench.session(directives)

    @rule(trigger=FROM_OUTSIDE, number=st.integers(0, 3))
    def fire(self, trigger: str, number: int) -> None:
        """Fire a trigger from outside."""
        self._count += 1
        kwargs: dict[str, Any] = {"from": str(self._count), "number": number}
        self._step(
            f"session.fire({trigger!r}, **{kwargs!r})",
            lambda: self._session.fire(trigger, **kwargs),
            lambda: self._model.fire(trigger, kwargs["from"], number),
        )

    @precondition(lambda self: any(map(self._model.says_how_often, OUTSIDE)))
    @rule(number=st.sampled_from([None, -1, 1.0, True, "1"]))
    def fire_without_number(self, number: Any) -> None:
        """Fire a trigger that is to say how often, and does not: it is refused."""
        trigger = next(filter(self._model.says_how_often, OUTSIDE))
        self._step(
            f"fire_without_number(session, {trigger!r}, {number!r})",
            lambda: fire_without_number(self._session, trigger, number),
            lambda: None,
        )

    @precondition(lambda self: self._has("failed"))
    @rule()
    def replay_failures(self) -> None:
        """Replay by hand whatever failed."""
        self._step("replay_failures(session)", self._replay_all, self._model.replay_failures)

    @precondition(lambda self: self._has("failed"))
    @rule()
    def skip_failures(self) -> None:
        """Skip by hand, with a cascade, whatever failed."""
        self._step("skip_failures(session)", self._skip_all, self._model.skip_failures)

    @precondition(lambda self: self._has("unstarted"))
    @rule()
    def abandon_what_waits(self) -> None:
        """Abandon by hand whatever waits."""
        self._step(
            "abandon_what_waits(session)",
            lambda: abandon_what_waits(self._session),
            self._model.abandon_what_waits,
        )

    @rule(tasks=configurations())
    def reconfigure(self, tasks: Tasks) -> None:
        """Have the session go on with another configuration, and what waits with it."""
        directives = {name: to_directives(task) for name, task in tasks.items()}
        self._step(
            _call("reconfigure", directives, "session, "),
            lambda: reconfigure(self._session, directives),
            lambda: self._model.reconfigure(tasks),
        )

    def _has(self, status: str) -> bool:
        return any(row.status == status for row in self._model.rows)

    def _replay_all(self) -> None:
        self._bench.in_time(lambda: replay_failures(self._session), "replay_failed_instance()")

    def _skip_all(self) -> None:
        self._bench.in_time(lambda: skip_failures(self._session), "skip_failed_instance()")

    def _step(self, line: str, act: Callable[[], None], model: Callable[[], None]) -> None:
        if self._progress.is_over:
            return
        self._script.add(f"{line}\nsession.settle()")
        model()
        try:
            act()
            self._session.settle()
            check_endings(self._session, self._model.endings().elements())
        except Broken as error:
            self._fail(str(error))

    def _fail(self, did: str) -> None:
        script = self._script.text(self._model.endings())
        failure = f"{did}\n\nThis script does it again:\n\n{script}"
        self._progress.failed(failure)
        raise Broken(failure)


class Script:
    """The steps of a session as a program that can be run by itself."""

    def __init__(self, bench: Bench) -> None:
        import_line, expression = bench.conformance.as_written()
        self._lines = [
            "from pathlib import Path",
            "from tempfile import mkdtemp",
            "",
            import_line,
            "from triggers_conformance.bench import Bench",
            "from triggers_conformance.machine import (",
            "    abandon_what_waits, check_endings, fire_without_number, reconfigure,",
            "    replay_failures, skip_failures,",
            ")",
            "",
            'if __name__ == "__main__":',
            f"    with Bench({expression}, Path(mkdtemp()), timeout={bench.timeout:g}) as bench:",
        ]

    def add(self, line: str) -> None:
        """Add one step, which may have several lines."""
        self._lines += _indented(line)

    def text(self, wanted: Counter[Ending]) -> str:
        """Return the program; it ends with how the instances are to stand."""
        check = f"{_call('wanted = ', sorted(wanted.elements()))}\ncheck_endings(session, wanted)"
        return "\n".join([*self._lines, *_indented(check)])


def check_against_model(bench: Bench, examples: int) -> None:
    """Run random sessions; Broken, with the shortest script, where one ends otherwise."""
    progress = Progress(bench.timeout)
    try:
        run_state_machine_as_test(
            lambda: SessionMachine(bench, progress),  # type: ignore[arg-type]  # a factory will do
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                phases=[Phase.generate, Phase.shrink],
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Exception:
        # A failure that depends on chance ends in hypothesis's own errors; what was seen stands.
        if progress.shortest_failure is None:
            raise
    if progress.shortest_failure is not None:
        broken(progress.shortest_failure)


def to_directives(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task as a configuration of the framework."""
    directives = {key: value for key, value in task.items() if key != "way"}
    return {**directives, "run": "behave", "withParams": {"behaviour": {"way": task["way"]}}}


def endings(session: Session) -> Counter[Ending]:
    """Return how the session's instances stand, as :meth:`Model.endings` does."""
    return Counter(
        (
            instance.task_name,
            instance.status.value,
            instance.attempt,
            (
                *(
                    (trigger, str(kwargs.get("from")))
                    for trigger, kwargs in sorted(instance.trigger_kwargs.items())
                ),
                *told_counts(instance.counts),
            ),
        )
        for instance in session.manager.instances()
    )


def fire_without_number(session: Session, trigger: str, number: Any) -> None:
    """Fire a trigger that is to say how often with what is no number; Broken, if it is taken."""
    try:
        session.fire_unwatched(trigger, number=number)
    except InvalidKwargs:
        return
    broken(f"took {number!r} for a number")


def replay_failures(session: Session) -> None:
    """Replay by hand every instance that is failed now."""
    for instance in session.manager.instances(statuses={Status.FAILED}):
        session.manager.replay_failed_instance(instance)


def skip_failures(session: Session) -> None:
    """Skip by hand, with a cascade, every instance that is failed now."""
    result = {**_notes_of(session), "from": "by hand"}
    for instance in session.manager.instances(statuses={Status.FAILED}):
        session.manager.skip_failed_instance(instance, cascade=True, result=result)
        session.settle()


def abandon_what_waits(session: Session) -> None:
    """Abandon by hand every instance that waits now."""
    for instance in session.manager.instances(statuses={Status.UNSTARTED}):
        session.manager.abandon_instance(instance, reason="the check gives it up")


def reconfigure(session: Session, directives: Mapping[str, Mapping[str, Any]]) -> None:
    """Put these tasks in the place of all, and take what waits over or abandon it."""
    # A replay by these may have taken nothing that they pass on: they say where to write notes.
    noting = {
        name: {**task, "withParams": {**task["withParams"], "session": _notes_of(session)}}
        for name, task in directives.items()
    }
    session.configure(noting, replace=True, abandon_retired=True, update_instances=True)


def check_endings(session: Session, wanted: Iterable[Ending]) -> None:
    """Broken, unless the session's instances stand as wanted."""
    difference = compared(Counter(wanted), endings(session))
    if difference:
        broken(f"brought about another end than the rules:\n{difference}")


def compared(wanted: Counter[Ending], found: Counter[Ending]) -> str:
    """Return what is missing and what is too much, a line each; nothing, where they agree."""
    missing = [f"    missing  {_told(ending)}" for ending in (wanted - found).elements()]
    surplus = [f"    surplus  {_told(ending)}" for ending in (found - wanted).elements()]
    return "\n".join(missing + surplus)


def _notes_of(session: Session) -> dict[str, str]:
    return {"notes": str(session.folder)}


def _call(function: str, argument: object, before: str = "") -> str:
    return f"{function}({before}\n{indent(pformat(argument, sort_dicts=False), '    ')}\n)"


def _indented(text: str) -> list[str]:
    return [f"        {line}" for line in text.splitlines()]


def _told(ending: Ending) -> str:
    task, status, attempt, taken = ending
    values = ", ".join(f"{trigger}={value}" for trigger, value in taken)
    return f"{task} {status}, attempt {attempt}, took {values}"
