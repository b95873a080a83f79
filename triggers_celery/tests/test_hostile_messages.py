"""Hostile messages: each is rejected with a clear error, or is the reference that it says; none
names code to import, and no worker falls over."""

import importlib.abc
import json
import pickle
import sys
import uuid

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import SoftTimeLimitExceeded
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from triggers_celery import CeleryTriggerTask
from triggers_celery.message import _using
from triggers_core import (
    BaseTaskRunner,
    DamagedStore,
    InvalidReference,
    MemoryStorage,
    Plugins,
    TriggerManager,
    TriggersError,
)
from triggers_core.worker import execution

NAME = "hostile.note"
CONFIGURATION = {"t_note": {"after": ["go"], "run": NAME, "using": "celery"}}
REFERENCE = {
    "manager": "triggers",
    "storage": "default",
    "session": "s",
    "instance": "t_note#0",
    "attempt": 1,
}
CANARY = "canary_that_must_not_be_imported"
IMPORTABLE = [CANARY, f"{CANARY}:Manager", f"{CANARY}.run", f"sqlite:///{CANARY}", "os.system"]

names = st.sampled_from([*IMPORTABLE, *REFERENCE.values(), *REFERENCE, "", "a\x00b", "\ud800"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | names
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
references = st.one_of(
    values,
    st.fixed_dictionaries(dict.fromkeys(REFERENCE, values)),
    st.dictionaries(names.map(str) | st.sampled_from(list(REFERENCE)), values),
    st.sampled_from(list(REFERENCE)).flatmap(
        lambda key: values.map(lambda value: {**REFERENCE, key: value})
    ),
)
bodies = st.tuples(
    st.lists(references, max_size=1) | st.lists(references, max_size=3),
    st.just({}) | st.dictionaries(st.sampled_from(["reference", "self", CANARY]), references),
)


def nested(levels):
    return json.loads("[" * levels + "]" * levels)


class Canary(importlib.abc.MetaPathFinder):
    """Notes every import that is asked for, of what is not imported already."""

    def __init__(self):
        self.asked_for = []

    def find_spec(self, fullname, path=None, target=None):
        self.asked_for.append(fullname)


@pytest.fixture
def canary(monkeypatch):
    canary = Canary()
    monkeypatch.setattr(sys, "meta_path", [canary, *sys.meta_path])
    return canary


class Unsent(BaseTaskRunner):
    """Leaves each message to the test."""

    name = "celery"

    def run(self, manager, task_instance):
        pass


class Receiver:
    """A worker's side in this process: what Celery calls once a message is decoded."""

    def __init__(self):
        self.ran = []
        app = Celery("hostile", broker="memory://", set_as_current=False)
        app.task(name=NAME, base=CeleryTriggerTask, shared=False)(self._note)
        self._trace = build_tracer(NAME, app.tasks[NAME], app=app)
        self.storage = MemoryStorage()
        self.plugins = Plugins(load_entry_points=False)
        self.plugins.managers.add(TriggerManager)
        self.plugins.add_storage(self.storage)
        self.plugins.use_runner(Unsent())
        self.manager = TriggerManager("s", storage=self.storage, plugins=self.plugins)
        self.manager.update_configuration(CONFIGURATION)
        self.manager.fire("go")

    def receive(self, args, kwargs=None):
        """Return Celery's state of the message, and the error that it ended by."""
        request = {"is_eager": False, "delivery_info": {}, "hostname": "here"}
        with _using(self.plugins):
            ended = self._trace(str(uuid.uuid4()), args, kwargs or {}, request)
        return (ended.info.state, ended.info.retval) if ended.info else ("SUCCESS", None)

    def _note(self, context):
        self.ran.append(context.instance.name)


@pytest.fixture
def receiver():
    return Receiver()


@settings(
    deadline=None,
    derandomize=True,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(bodies)
@example(([], {}))
@example(([REFERENCE, REFERENCE], {}))
@example(([REFERENCE], {"self": 1}))
@example(([{**REFERENCE, "run": "os.system"}], {}))
@example(([{**REFERENCE, "instance": f"t_note#{'9' * 10_000}"}], {}))
def test_a_message_is_rejected_unless_it_is_a_reference_and_imports_nothing(canary, body):
    Receiver().receive([REFERENCE])  # Celery imports some of itself when it is first used
    receiver = Receiver()
    modules = set(sys.modules)
    canary.asked_for.clear()
    state, ended_by = receiver.receive(*body)

    assert (canary.asked_for, set(sys.modules)) == ([], modules)
    if state == "REJECTED":
        assert not ended_by.requeue
        assert isinstance(ended_by.__cause__, TriggersError)
        assert receiver.ran == []
    else:
        assert body == ([REFERENCE], {}) or state == "IGNORED"


def test_the_reference_itself_is_executed_once(receiver):
    states = [receiver.receive([REFERENCE])[0] for _ in range(2)]
    assert states == ["SUCCESS", "IGNORED"]
    assert receiver.ran == ["t_note#0"]


def test_a_message_nested_as_deep_as_json_may_be_is_rejected(receiver):
    deep = nested(900)
    for argument in (deep, {**REFERENCE, "manager": deep}):
        state, ended_by = receiver.receive([argument])
        assert state == "REJECTED"
        assert len(str(ended_by)) < 1000


class BrokenManager(TriggerManager):
    name = "broken"

    def __init__(self, *arguments, **more):
        raise RuntimeError("no tenant")


def test_a_message_whose_manager_cannot_be_made_is_rejected_with_the_reason(receiver, caplog):
    receiver.plugins.managers.add(BrokenManager)
    state, ended_by = receiver.receive([{**REFERENCE, "manager": "broken"}])
    assert state == "REJECTED"
    assert isinstance(ended_by.__cause__, RuntimeError)
    assert "is rejected: it cannot be opened here" in caplog.text
    assert "no tenant" in caplog.text
    assert receiver.manager.instance("t_note#0").status == "scheduled"


def test_x4_a_soft_time_limit_that_strikes_before_the_task_begins_fails_its_instance(
    receiver, monkeypatch
):
    def interrupted(*_):
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(execution, "TaskContext", interrupted)
    assert receiver.receive([REFERENCE])[0] == "FAILURE"
    instance = receiver.manager.instance("t_note#0")
    assert instance.status == "failed"
    assert instance.metadata["error"]["type"] == "SoftTimeLimitExceeded"


def test_a_message_for_another_task_is_rejected(receiver):
    receiver.manager.update_configuration(
        {"t_other": {**CONFIGURATION["t_note"], "run": "os.abort"}}
    )
    receiver.manager.fire("go")
    state, ended_by = receiver.receive([{**REFERENCE, "instance": "t_other#0"}])
    assert state == "REJECTED"
    assert isinstance(ended_by.__cause__, InvalidReference)


def test_a_message_for_a_damaged_instance_is_rejected_and_not_tried_for_ever(receiver, monkeypatch):
    def damaged(reader, task_name, number):
        raise DamagedStore("its row is cut")

    with receiver.storage.read("s") as reader:
        monkeypatch.setattr(type(reader), "instance", damaged)
    state, ended_by = receiver.receive([REFERENCE])
    assert state == "REJECTED"
    assert not ended_by.requeue
    assert "its row is cut" in str(ended_by)


@pytest.fixture(scope="module")
def shop(open_shop, broker):
    return open_shop(broker)


def test_a_worker_outlives_hostile_messages_and_imports_nothing_that_they_name(
    shop, tmp_path, wait_until
):
    """On the wire: of any type, of tasks that nobody registered, and no JSON at all."""
    imported = tmp_path / "imported"
    (tmp_path / f"{CANARY}.py").write_text(f"open({str(imported)!r}, 'w').close()\n")
    worker = shop.start_worker(environment={"PYTHONPATH": str(tmp_path)})
    manager = shop.session({"t_note": {"after": ["go"], "run": "orders.note"}})
    reference = {**REFERENCE, "session": manager.session_uid}
    arguments = [
        None,
        [],
        "x" * 1_000_000,
        # Deeper, and Celery's own worker ends before it calls the task: it cannot pickle that.
        nested(100),
        *({**reference, key: name} for key in reference for name in IMPORTABLE),
        {**reference, "run": f"{CANARY}.run", "using": CANARY},
    ]
    for argument in arguments:
        shop.app.send_task("orders.note", args=[argument])
    shop.app.send_task("orders.note", args=[reference, reference], kwargs={"self": CANARY})
    shop.app.send_task(f"{CANARY}.run", args=[reference])
    with shop.app.producer_or_acquire() as producer:
        for body, kind, encoding in (
            (pickle.dumps(Importing()), "application/x-python-serialize", "binary"),
            (b"\xff\x00{", "application/json", "utf-8"),
        ):
            headers = {"task": "orders.note", "id": str(uuid.uuid4()), "lang": "py"}
            producer.publish(
                body,
                routing_key=shop.queue,
                content_type=kind,
                content_encoding=encoding,
                headers=headers,
            )
    manager.fire("go")
    wait_until(lambda: shop.traces_of(manager), "the one good message to be executed")

    assert shop.traces_of(manager) == ["t_note#0"]
    assert not imported.exists()
    log = worker.log()
    assert log.count(" is rejected: ") == len(arguments) + 1


class Importing:
    """What a pickle may ask for, where somebody unpickles it."""

    def __reduce__(self):
        return __import__, (CANARY,)
