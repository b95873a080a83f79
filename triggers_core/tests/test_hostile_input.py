"""Hostile input by a call or by a message: one clear error of ours or success; never a hang, never
another error, never an import of what nobody registered."""

import importlib.abc
import json
import math
import sys
from collections import UserDict
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from triggers_core import MemoryStorage, Reference, TriggersError, execute
from triggers_core.rules.config import DIRECTIVES

from .hostile import CONFIGURATION, FUZZ, IdleManager, manager_on, open_plugins

pytestmark = pytest.mark.usefixtures("never_hang")


# What comes in by a call


class Unspeakable:
    """Cannot even be shown."""

    def __repr__(self):
        raise RuntimeError("no repr")


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def cyclic():
    value = {}
    value["again"] = value
    return value


ODD = [
    math.nan,
    -math.inf,
    b"bytes",
    {1, 2},
    ("a",),
    object(),
    UserDict(a=1),
    "\ud800",
    "a\x00b",
    2**70,
    int,
]
MONSTERS = {
    "nested as deep as JSON may be": deep(900),
    "nested deeper than any repr": deep(100_000),
    "contains itself": cyclic(),
    "a number too long to show": 10**5000,
    "a long text": "x" * 1_000_000,
    "a long list": [f"a{number}" for number in range(20_000)],
    "a list of one name": ["a"] * 20_000,
    "raises when it is shown": Unspeakable(),
    "holds what raises when it is shown": [Unspeakable()],
}
"""What a test's report could not show either."""
monsters = pytest.mark.parametrize("monster", MONSTERS.values(), ids=MONSTERS)
NAMES = ["a", "b", "each", "t_one", "t_each", "", " a", "a#0", "task", "idle", "os.system"]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(NAMES),
    st.sampled_from(ODD),
)
keys = st.one_of(st.text(max_size=8), st.sampled_from(NAMES), st.integers(), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
NEAR_MISSES = ["afer", "and_every", "After", "withparams", "colour"]
directives = st.dictionaries(st.sampled_from([*DIRECTIVES, *NEAR_MISSES]) | keys, values)
good = {"after": ["a"], "run": "task"}
tasks = st.one_of(
    values,
    directives,
    directives.map(lambda some: {**good, **some}),
)
configurations = st.one_of(values, st.dictionaries(st.sampled_from(NAMES) | keys, tasks))


def everything(storage):
    with storage.read("s") as reader:
        return reader.configuration().to_json(), reader.instances(), reader.latest_kwargs("abc")


def refused_or_done(storage, call):
    """Return whether it was done; if not, nothing is changed and the error says something."""
    before = everything(storage)
    try:
        call()
    except TriggersError as refusal:
        error = refusal
    else:
        return True
    assert str(error)
    assert everything(storage) == before
    return False


@FUZZ
@given(configurations)
def test_a_configuration_is_applied_or_refused(configuration):
    storage = MemoryStorage()
    manager = manager_on(storage)
    manager.update_configuration(CONFIGURATION)
    if refused_or_done(storage, lambda: manager.update_configuration(configuration)):
        assert refused_or_done(storage, lambda: manager.fire("a"))


@FUZZ
@given(st.one_of(st.sampled_from(NAMES), values), values, st.none() | values)
def test_a_fire_is_done_or_refused(trigger_name, trigger_kwargs, event_id):
    storage = MemoryStorage()
    manager = manager_on(storage)
    manager.update_configuration(CONFIGURATION)

    def fire():
        manager.fire(trigger_name, trigger_kwargs, event_id=event_id)

    if refused_or_done(storage, fire):
        for instance in manager.instances():
            assert json.loads(json.dumps(instance.trigger_kwargs)) == instance.trigger_kwargs


@FUZZ
@given(values)
def test_several_firings_are_done_or_refused(firings):
    storage = MemoryStorage()
    manager = manager_on(storage)
    refused_or_done(storage, lambda: manager.fire_many(firings))


@monsters
def test_a_monster_is_applied_or_refused_wherever_it_stands(monster):
    storage = MemoryStorage()
    manager = manager_on(storage)
    manager.update_configuration(CONFIGURATION)
    manager.fire("b")
    as_key = monster if isinstance(monster, (str, int, Unspeakable)) else "colour"
    tasks = [monster, *({**good, directive: monster} for directive in [*DIRECTIVES, *NEAR_MISSES])]
    tasks += [{**good, as_key: 1}, {**good, "withParams": {"a": monster}}]
    configurations = [monster, {as_key: good}, *({"t": task} for task in tasks)]
    firings = [
        *((name, {}, None) for name in [monster]),
        *(("a", kwargs, None) for kwargs in [monster, {"x": monster}, {as_key: 1}]),
        ("a", {}, monster),
        monster,
    ]
    for configuration in configurations:
        refused_or_done(storage, lambda given=configuration: manager.update_configuration(given))
    for firing in firings:
        refused_or_done(storage, lambda given=firing: manager.fire_many([given]))
    for call in (
        manager.fire_many,
        manager.instance,
        manager.instances,
        manager.replay_failed_instance,
        manager.skip_failed_instance,
        manager.mark_instance_logs_resolved,
        lambda given: manager_on(storage, given),
        lambda given: manager.skip_failed_instance("t_one#0", result=given),
        lambda given: manager.replay_failed_instance("t_one#0", {"a": given}),
        lambda given: manager.replay_failed_instance("t_one#0", given),
    ):
        refused_or_done(storage, lambda call=call: call(monster))


# What comes in by a message


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


REFERENCE = {
    "manager": "idle",
    "storage": "default",
    "session": "s",
    "instance": "t_one#0",
    "attempt": 1,
}
IMPORTABLE = ["antigravity", "os:system", "lib2to3.main", "idlelib", "this:s", "xmlrpc.server"]
fields = st.one_of(values, st.sampled_from([*IMPORTABLE, *REFERENCE.values(), "../../etc/passwd"]))
messages = st.one_of(
    values,
    st.fixed_dictionaries(dict.fromkeys(REFERENCE, fields)),
    st.dictionaries(st.sampled_from([*REFERENCE, "run", "using", "__class__"]), fields),
    st.sampled_from(list(REFERENCE)).flatmap(
        lambda key: fields.map(lambda value: {**REFERENCE, key: value})
    ),
)


@FUZZ
@given(messages)
@example(REFERENCE)
@example({**REFERENCE, "instance": f"t_one#{'9' * 10_000}"})
def test_a_message_is_followed_or_refused_and_imports_nothing(canary, message):
    storage = MemoryStorage()
    plugins = open_plugins()
    plugins.add_storage(storage)
    manager = IdleManager("s", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    manager.fire("a")
    modules = set(sys.modules)
    canary.asked_for.clear()

    def follow():
        execute(*Reference.from_dict(message).open(plugins))

    with suppress(TriggersError):
        follow()
    assert canary.asked_for == []
    assert set(sys.modules) == modules


@monsters
def test_a_monster_in_a_message_is_refused(monster):
    for message in (monster, {}, *({**REFERENCE, key: monster} for key in REFERENCE)):
        with suppress(TriggersError):
            Reference.from_dict(message).open(open_plugins())
            pytest.fail(f"it was followed, to {message!r}")


def test_the_canary_sees_an_import(canary):
    with suppress(ImportError):
        __import__("no_such_module_anywhere")
    assert canary.asked_for == ["no_such_module_anywhere"]
