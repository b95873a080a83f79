"""One trace from a fire through every task that follows from it, in threads and on the spot."""

import threading

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from triggers_core import (
    BaseTaskRunner,
    MemoryStorage,
    Plugins,
    TriggerManager,
    execute,
    hookimpl,
    trigger_task,
)
from triggers_core.recovery import recover_once
from triggers_opentelemetry import carrying, hooks
from triggers_threading import ThreadingTaskRunner

DEADLINE_SECONDS = 30.0
CONFIGURATION = {
    "ship": {"after": ["paid", "packed"], "run": "ship"},
    "tell": {"after": ["ship"], "run": "tell"},
    "bill": {"after": ["ship"], "run": "tell"},
}
CASCADE = [
    "fire packed",
    "fire packed > dispatch ship",
    "fire packed > dispatch ship > run ship",
    "fire packed > dispatch ship > run ship > fire ship",
    "fire packed > dispatch ship > run ship > fire ship > dispatch bill",
    "fire packed > dispatch ship > run ship > fire ship > dispatch bill > run bill",
    "fire packed > dispatch ship > run ship > fire ship > dispatch bill > run bill > fire bill",
    "fire packed > dispatch ship > run ship > fire ship > dispatch tell",
    "fire packed > dispatch ship > run ship > fire ship > dispatch tell > run tell",
    "fire packed > dispatch ship > run ship > fire ship > dispatch tell > run tell > fire tell",
    "fire paid",
]


class InlineRunner(BaseTaskRunner):
    name = "inline"
    capabilities = frozenset({"inline"})

    def run(self, manager, task_instance):
        execute(manager, task_instance, resolve=self.resolve)


class Tasks(dict):
    """Target → task; all of them run with one runner."""

    def __init__(self, runner_name):
        super().__init__(ship=succeed, tell=succeed)
        self.runner_name = runner_name

    @hookimpl
    def triggers_resolve_task(self, target):
        return self.get(target)

    @hookimpl
    def triggers_select_runner(self):
        return self.runner_name


@trigger_task
def succeed(context):
    return {"by": context.instance.name}


@pytest.fixture(params=[ThreadingTaskRunner, InlineRunner])
def runner(request):
    runner = request.param()
    yield runner
    if "join" in runner.capabilities:
        runner.join_all(DEADLINE_SECONDS)


@pytest.fixture
def tasks(runner):
    return Tasks(runner.name)


@pytest.fixture
def manager(spans, runner, tasks):
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(runner)
    plugins.managers.add(TriggerManager)
    plugins.register(hooks)
    plugins.register(tasks)
    manager = TriggerManager("s", storage=MemoryStorage(), plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    return manager


@pytest.fixture
def ended(spans, runner, traces):
    """Return a function that waits for the tasks, and gives the traces."""

    def ended():
        if "join" in runner.capabilities:
            runner.join_all(DEADLINE_SECONDS)
        return traces(spans())

    return ended


def test_it_is_in_use_once_installed():
    assert "opentelemetry" in Plugins().plugin_names()


def test_a_fire_and_all_that_follows_from_it_are_one_trace(manager, ended):
    manager.fire("paid")
    manager.fire("packed")

    found = ended()

    assert found.paths() == CASCADE
    assert len(found.ids) == 2  # the fire that started nothing is a trace of its own


def test_a_fire_within_a_span_of_the_application_belongs_to_its_trace(manager, ended):
    with trace.get_tracer("app").start_as_current_span("POST /packed"):
        manager.fire("paid")
        manager.fire("packed")

    found = ended()

    assert found.paths() == sorted(
        ["POST /packed", *(f"POST /packed > {path}" for path in CASCADE)]
    )


def test_what_is_fired_later_in_the_same_thread_is_no_part_of_it(manager, ended):
    manager.fire("paid")
    manager.fire("packed")
    manager.fire("paid")

    assert ended().paths() == sorted([*CASCADE, "fire paid"])


def test_what_a_task_does_is_within_its_run(manager, tasks, ended):
    @trigger_task
    def ship(context):
        with trace.get_tracer("app").start_as_current_span("call the carrier"):
            context.manager.fire("called")

    tasks["ship"] = ship
    manager.fire("paid")
    manager.fire("packed")

    run = "fire packed > dispatch ship > run ship"
    assert f"{run} > call the carrier > fire called" in ended().paths()


def test_spans_say_what_they_are_of_and_no_kwargs(manager, runner, ended):
    manager.fire("paid", {"card": "of a customer"})
    manager.fire("packed")

    found = ended()

    assert dict(found.named("fire packed").attributes) == {
        "triggers.manager": "triggers",
        "triggers.session": "s",
        "triggers.trigger": "packed",
        "triggers.scheduled": ("ship#0",),
    }
    instance = {
        "triggers.manager": "triggers",
        "triggers.session": "s",
        "triggers.task": "ship",
        "triggers.instance": "ship#0",
        "triggers.attempt": 1,
    }
    dispatch, run = found.named("dispatch ship"), found.named("run ship")
    assert dict(dispatch.attributes) == {**instance, "triggers.runner": runner.name}
    attributes = dict(run.attributes)
    assert attributes.pop("triggers.queued_seconds") >= 0.0
    assert attributes == instance
    assert (dispatch.kind, run.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert "of a customer" not in "".join(span.to_json() for span in found.spans)


def test_a_failure_is_an_error_with_its_exception(manager, tasks, ended):
    @trigger_task
    def ship(context):
        raise RuntimeError("no van")

    tasks["ship"] = ship
    manager.fire("paid")
    manager.fire("packed")

    run = ended().named("run ship")

    assert run.status.status_code is StatusCode.ERROR
    assert run.status.description == "RuntimeError: no van"
    (event,) = run.events
    assert event.attributes["exception.type"] == "RuntimeError"


class CannotBeShown(Exception):
    def __str__(self):
        raise RuntimeError("there is no text")


def test_a_failure_that_cannot_be_shown_stays_what_it_is(manager, tasks, ended):
    @trigger_task
    def ship(context):
        raise CannotBeShown

    tasks["ship"] = ship
    manager.fire("paid")
    manager.fire("packed")

    run = ended().named("run ship")

    assert run.status.description == "CannotBeShown"
    (event,) = run.events
    assert event.attributes["exception.type"] == "CannotBeShown"
    assert manager.instance("ship#0").metadata["error"]["type"] == "CannotBeShown"


def test_a_retry_is_dispatched_by_the_run_that_asked_for_it_and_is_no_error(manager, tasks, ended):
    @trigger_task
    def ship(context):
        if context.attempt == 1:
            context.retry()

    tasks["ship"] = ship
    manager.fire("paid")
    manager.fire("packed")

    found = ended()

    once = "fire packed > dispatch ship > run ship"
    assert f"{once} > dispatch ship > run ship > fire ship > dispatch tell" in found.paths()
    runs = [span for span in found.spans if span.name == "run ship"]
    assert [run.attributes["triggers.attempt"] for run in runs] == [1, 2]
    assert {run.status.status_code for run in runs} == {StatusCode.UNSET}
    assert [event.name for event in runs[0].events] == ["RetryRequested"]


def test_a_dispatch_that_fails_is_an_error_and_recovery_is_a_trace_of_its_own(
    manager, runner, ended, monkeypatch
):
    def refuse(manager, task_instance):
        raise ConnectionError("no broker")

    manager.fire("paid")
    with monkeypatch.context() as patch:
        patch.setattr(runner, "run", refuse)
        with pytest.raises(Exception, match="no broker"):
            manager.fire("packed")
    assert ended().named("dispatch ship").status.status_code is StatusCode.ERROR
    now = manager.storage.now
    monkeypatch.setattr(manager.storage, "now", lambda: now() + 3600)

    recover_once(manager.storage, plugins=manager.plugins)

    assert "dispatch ship > run ship > fire ship" in ended().paths()


def test_fires_of_many_threads_are_not_mixed_up(manager, spans, ended):
    manager.update_configuration({"count": {"after": ["start"], "andEvery": "tick", "run": "tell"}})
    manager.fire("start")

    def fire(number):
        with trace.get_tracer("app").start_as_current_span(f"request {number}"):
            manager.fire("tick")

    threads = [threading.Thread(target=fire, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    paths = ended().paths()
    for number in range(8):
        assert f"request {number} > fire tick > dispatch count > run count > fire count" in paths


def test_contexts_that_nobody_takes_are_not_kept_for_ever(manager, monkeypatch):
    monkeypatch.setattr(carrying, "MOST_KEPT", 2)
    kept = carrying.Kept()
    tracer = trace.get_tracer("app")
    contexts = [trace.set_span_in_context(tracer.start_span("x")) for _ in range(3)]
    for number, context in enumerate(contexts):
        kept.put(manager, number, context=context)

    assert [kept.take(manager, number) for number in range(3)] == [None, *contexts[1:]]
    assert kept.take(manager, 2) is None
