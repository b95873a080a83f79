"""The tasks of the checks: importable in every process, and each writes down what it does.

Where to write comes with the kwargs: a trigger fired by a check carries ``notes``, a folder, and
so does what these tasks pass on.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

from triggers_conformance.notes import read_notes, write_note
from triggers_conformance.odd import ENDINGS, ODD
from triggers_conformance.waiting import wait_until
from triggers_core import TaskContext, TriggerTask, trigger_task

MAX_RETRIES = 2

WHOSE: ContextVar[str | None] = ContextVar("triggers_conformance_whose", default=None)
"""The session that a caller or a task says is its own."""


class MeantToFail(Exception):
    """What the failing task raises."""


@trigger_task
def note(context: TaskContext) -> Any:
    """Finish, and pass on who did."""
    _write("note", context)
    return _passed_on(context)


@trigger_task
def note_otherwise(context: TaskContext) -> Any:
    """As :func:`note`; only the word differs."""
    _write("note_otherwise", context)
    return _passed_on(context)


@trigger_task
def name_manager(context: TaskContext) -> Any:
    """Write down of which class the context's manager is."""
    own = type(context.manager)
    _write("name_manager", context, [own.__module__, own.__qualname__])
    return _passed_on(context)


@trigger_task
def wait_for_gate(context: TaskContext) -> Any:
    """Finish once the file ``gate`` is there."""
    _write("started", context)
    gate = Path(_told(context, "gate"))
    if not wait_until(gate.exists, _told(context, "timeout")):
        raise TimeoutError(f"nobody opened {gate}")
    _write("ended", context)
    return _passed_on(context)


@trigger_task
def change_kwargs(context: TaskContext) -> Any:
    """Write down the kwargs, then spoil them."""
    _write("change_kwargs", context)
    passed_on = _passed_on(context)
    for kwargs in context.trigger_kwargs.values():
        for value in kwargs.values():
            if isinstance(value, dict):
                value["spoiled"] = True
            if isinstance(value, list):
                value.append("spoiled")
        kwargs["spoiled"] = True
    context.trigger_kwargs["spoiled"] = {}
    return passed_on


@trigger_task
def fail(context: TaskContext) -> Any:
    """Raise."""
    _write("fail", context)
    raise MeantToFail("meant to fail ✗")


@trigger_task
def raise_odd(context: TaskContext) -> Any:
    """Raise what the configuration's ``withParams`` says under ``odd``."""
    raise {**ODD, **ENDINGS}[context.trigger_kwargs["odd"]["kind"]]()


@trigger_task
def leave(context: TaskContext) -> Any:
    """Raise SystemExit, as a library that calls ``sys.exit`` does."""
    _write("leave", context)
    raise SystemExit(3)


@trigger_task
def return_object(context: TaskContext) -> Any:
    """Return a mapping that JSON has no form for."""
    _write("return_object", context)
    return {"result": object()}


@trigger_task
def return_list(context: TaskContext) -> Any:
    """Return no mapping."""
    _write("return_list", context)
    return ["a", "list"]


@trigger_task(max_retries=MAX_RETRIES)
def retry_once(context: TaskContext) -> Any:
    """Finish at the second attempt; ``cooldown`` is how long after the first."""
    _write("retry_once", context)
    if context.attempt == 1:
        context.retry(cooldown=_told(context, "cooldown"))
    return _passed_on(context)


@trigger_task(max_retries=MAX_RETRIES)
def retry_always(context: TaskContext) -> Any:
    """Ask for a retry each time."""
    _write("retry_always", context)
    context.retry()


@trigger_task
def skip(context: TaskContext) -> Any:
    """Skip; the kwarg ``cascade`` tells whether to fire what follows."""
    _write("skip", context)
    if _told(context, "cascade"):
        context.skip(cascade=True, result=_passed_on(context))
    context.skip()


@trigger_task
def start_many(context: TaskContext) -> Any:
    """Fire the trigger ``more`` as often as ``count`` says, through the context's manager."""
    _write("start_many", context)
    for number in range(_told(context, "count")):
        context.manager.fire("more", {**_passed_on(context), "number": number})
    return _passed_on(context)


@trigger_task
def fire_more(context: TaskContext) -> Any:
    """Fire ``more`` with the kwargs ``more``, and write down when that is done."""
    context.manager.fire("more", {**_passed_on(context), **_told(context, "more")})
    _write("fired", context)
    return _passed_on(context)


@trigger_task
def fire_and_wait(context: TaskContext) -> Any:
    """Fire ``more``, and write down whether what it starts runs while this task does."""
    notes = _told(context, "notes")
    context.manager.fire("more", _passed_on(context))
    met = wait_until(lambda: read_notes(notes), _told(context, "timeout"))
    _write("met" if met else "missed", context)
    return _passed_on(context)


@trigger_task
def take_turn(context: TaskContext) -> Any:
    """Have a cascade, which may start this task again, until each folder of ``first`` has a note;
    write down if that is not so after ``rounds`` of it, each but the first of ``seconds``. The file
    ``over`` then ends it for all."""
    keys = ("notes", "round", "rounds", "seconds", "first", "over")
    told = {key: _told(context, key) for key in keys}
    over = Path(told["over"])

    def is_over() -> bool:
        had_theirs = all(any(Path(folder).glob("*.note")) for folder in told["first"])
        return had_theirs or over.exists()

    if wait_until(is_over, told["seconds"] if told["round"] else 0.0):
        context.skip()
    if told["round"] >= told["rounds"]:
        over.touch()
        context.skip()
    return {**told, "round": told["round"] + 1}


@trigger_task
def tell_whose(context: TaskContext) -> Any:
    """Write down whose context this is, and say that it is this session's."""
    _write("tell_whose", context, WHOSE.get())
    WHOSE.set(context.instance.session_uid)
    return _passed_on(context)


@trigger_task
def fire_object(context: TaskContext) -> Any:
    """Fire ``more`` with kwargs that JSON has no form for."""
    _write("fire_object", context)
    context.manager.fire("more", {**_passed_on(context), "object": object()})
    return _passed_on(context)


@trigger_task
def join_own_runner(context: TaskContext) -> Any:
    """Call ``join_all`` of the runner ``runner``, and write down what it raised."""
    runner = cast(Any, context.manager.plugins.runner(_told(context, "runner")))
    try:
        runner.join_all(timeout=_told(context, "timeout"))
    except Exception as error:
        raised = "TimeoutError" if isinstance(error, TimeoutError) else type(error).__name__
    else:
        raised = "nothing"
    _write("join_own_runner", context, raised)
    return _passed_on(context)


@trigger_task(max_retries=1)
def behave(context: TaskContext) -> Any:
    """End as the configuration's ``withParams`` says under ``behaviour``; for random sessions."""
    _write("behave", context)
    way = context.trigger_kwargs["behaviour"]["way"]
    for trigger, count in context.instance.counts.items():
        if trigger in context.firings and len(context.firings[trigger]) != count:
            raise LookupError(f"of {count} times {trigger!r} it got {context.firings[trigger]!r}")
    result = {"notes": _told(context, "notes"), "from": context.instance.task_name}
    if way == "fail":
        raise MeantToFail("meant to fail")
    if way == "skip":
        context.skip()
    if way == "skip and cascade":
        context.skip(cascade=True, result=result)
    if way == "always retry" or (way == "retry once" and context.attempt == 1):
        context.retry()
    return result


TASKS: Mapping[str, TriggerTask] = {
    f"{__name__}.{name}": task
    for name, task in list(globals().items())
    if isinstance(task, TriggerTask)
}
"""``run`` target → task. A runner that finds tasks elsewhere than by import, as Celery does,
registers each of these under that name."""


def _told(context: TaskContext, key: str) -> Any:
    for kwargs in context.trigger_kwargs.values():
        if key in kwargs:
            return kwargs[key]
    raise LookupError(
        f"{context.instance.name} got no kwarg {key!r}; it got {context.trigger_kwargs!r:.200}"
    )


def _write(step: str, context: TaskContext, said: Any = None) -> None:
    write_note(_told(context, "notes"), step, context, said)


def _passed_on(context: TaskContext) -> dict[str, Any]:
    return {"notes": _told(context, "notes"), "by": context.instance.name}
