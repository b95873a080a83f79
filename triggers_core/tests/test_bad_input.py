"""Bad input: one clear error that names the culprit, and an unchanged store."""

import math

import pytest

from triggers_core import (
    BaseTaskRunner,
    ConfigurationError,
    InstanceNotFound,
    InvalidKwargs,
    InvalidName,
    InvalidReference,
    InvalidTransition,
    MemoryStorage,
    PluginError,
    Plugins,
    Reference,
    RunnerNotFound,
    SqliteStorage,
    StorageError,
    StorageNotFound,
    TriggerManager,
    TriggersError,
    trigger_task,
)

GOOD = {"after": ["a"], "run": "app.task", "using": "idle"}
CYCLE = {}
CYCLE["again"] = CYCLE


class Idle(BaseTaskRunner):
    name = "idle"

    def run(self, manager, task_instance):
        """Accept, and do nothing: what is scheduled stays so."""


class Nameless(BaseTaskRunner):
    def run(self, manager, task_instance):
        """Never called."""


class Abstract(BaseTaskRunner):
    name = "abstract"


def task(**directives):
    """Return a configuration of one task, with these directives in place of the good ones."""
    return {"t": {**GOOD, **directives}}


def without(directive):
    return {"t": {key: value for key, value in GOOD.items() if key != directive}}


CONFIGURATIONS = [
    ([], "must be a mapping of task names"),
    ("t", "must be a mapping of task names"),
    (None, "must be a mapping of task names"),
    ({"t": []}, "task 't': expected a mapping of directives"),
    ({"t": None}, "task 't': expected a mapping of directives"),
    ({"": GOOD}, "task name ''"),
    ({" t": GOOD}, "task name ' t'"),
    ({"t#0": GOOD}, "'#' is kept for instance names"),
    ({7: GOOD}, "expected a str, not int"),
    ({"t\n": GOOD}, "task name"),
    ({"t" * 300: GOOD}, "300 characters"),
    (without("after"), "it waits for nothing; name the triggers"),
    (without("run"), "directive 'run' is missing"),
    (task(after="a"), "write ['a']"),
    (task(after=[]), "it waits for nothing; name the triggers"),
    (task(after=None), "it waits for nothing; name the triggers"),
    (task(after=3), "expected a list of trigger names, not 3"),
    (task(after={"a": 1}), "expected a list of trigger names"),
    (task(after={1}), "expected a str, not int"),
    (task(after=[], andEvery=None), "it waits for nothing; name the triggers"),
    (task(after=[1]), "expected a str, not int"),
    (task(after=[""]), "trigger name ''"),
    (task(after=["a", "a"]), "'a' is listed twice"),
    (task(after=["t"]), "names the task itself"),
    (task(run=None), "directive 'run'"),
    (task(run=trigger_task), "directive 'run'"),
    (task(run=""), "directive 'run'"),
    (task(andEvery=["b"]), "one trigger name, not a list"),
    (task(andEvery=""), "directive 'andEvery'"),
    (task(andEvery=3), "directive 'andEvery'"),
    (task(unless="b"), "write ['b']"),
    (task(unless=3), "directive 'unless'"),
    (task(unless={"b", 3}), "directive 'unless'"),
    (task(unless=["b", "b"]), "'b' is listed twice"),
    (task(withParams=[]), "directive 'withParams'"),
    (task(withParams={"a": 1}), "mapping of kwargs for 'a'"),
    (task(withParams={"a": {"x": object()}}), "JSON has no form"),
    (task(withParams={"a": {1: 2}}), "keys must be str"),
    (task(using=["idle"]), "one runner name, not a list"),
    (task(using=""), "directive 'using'"),
    (task(afer=["b"]), "did you mean 'after'"),
    (task(and_every="b"), "did you mean 'andEvery'"),
    (task(with_params={}), "did you mean 'withParams'"),
    (task(unles=["b"]), "did you mean 'unless'"),
    (task(colour=object()), "directive 'colour'"),
    (task(colour=math.nan), "directive 'colour'"),
]

CALLS = [
    (
        lambda m: m.update_configuration(task(using="nowhere")),
        RunnerNotFound,
        "install the distribution that registers it",
    ),
    (lambda m: m.update_configuration(without("using")), RunnerNotFound, "triggers-celery"),
    (lambda m: m.fire(""), InvalidName, "trigger name ''"),
    (lambda m: m.fire(None), InvalidName, "expected a str"),
    (lambda m: m.fire(7), InvalidName, "expected a str"),
    (lambda m: m.fire(" a"), InvalidName, "trim it"),
    (lambda m: m.fire("a\x00b"), InvalidName, "cannot be printed"),
    (lambda m: m.fire("\ud800"), InvalidName, "cannot be printed"),
    (lambda m: m.fire("a" * 256), InvalidName, "256 characters"),
    (lambda m: m.fire("a", []), InvalidKwargs, "must be a mapping"),
    (lambda m: m.fire("a", "x"), InvalidKwargs, "must be a mapping"),
    (lambda m: m.fire("a", {1: 2}), InvalidKwargs, "key 1"),
    (lambda m: m.fire("a", {"x": {2: 3}}), InvalidKwargs, "key 2 in x"),
    (lambda m: m.fire("a", {"x": object()}), InvalidKwargs, "x is object"),
    (lambda m: m.fire("a", {"x": [1, {3}]}), InvalidKwargs, "x[1] is set"),
    (lambda m: m.fire("a", {"x": b"bytes"}), InvalidKwargs, "x is bytes"),
    (lambda m: m.fire("a", {"x": math.nan}), InvalidKwargs, "x is nan"),
    (lambda m: m.fire("a", {"x": math.inf}), InvalidKwargs, "x is inf"),
    (lambda m: m.fire("a", CYCLE), InvalidKwargs, "contains itself"),
    (lambda m: m.fire("a", event_id=""), InvalidName, "event name ''"),
    (lambda m: m.fire("a", event_id=5), InvalidName, "expected a str"),
    (lambda m: m.fire_many(["a"]), InvalidKwargs, "a firing is"),
    (lambda m: m.fire_many([("a", {}, None, 4)]), InvalidKwargs, "a firing is"),
    (lambda m: m.fire_many([("a",), ("b", {"x": object()})]), InvalidKwargs, "x is object"),
    (lambda m: m.instance("t"), InstanceNotFound, "'t_task#0'"),
    (lambda m: m.instance("t#9"), InstanceNotFound, "t#9"),
    (lambda m: m.instance("t#-1"), InstanceNotFound, "t#-1"),
    (lambda m: m.instance(None), InstanceNotFound, "None"),
    (lambda m: m.replay_failed_instance("t#9"), InstanceNotFound, "t#9"),
    (lambda m: m.replay_failed_instance("t#0"), InvalidTransition, "only a failed one"),
    (lambda m: m.replay_failed_instance("t#0", []), InvalidKwargs, "must be a mapping"),
    (lambda m: m.skip_failed_instance("t#0"), InvalidTransition, "only a failed one"),
    (lambda m: m.skip_failed_instance("t#0", result={}), InvalidKwargs, "cascade=True"),
    (lambda m: m.skip_failed_instance("t#0", cascade=True, result=[]), InvalidKwargs, "mapping"),
    (lambda m: m.mark_instance_logs_resolved("t#9"), InstanceNotFound, "t#9"),
    (
        lambda m: m.plugins.runner("nowhere"),
        RunnerNotFound,
        "install the distribution that registers it",
    ),
    (lambda m: m.plugins.runners.add(Nameless), PluginError, "'name' is None"),
    (lambda m: m.plugins.runners.add(Abstract), PluginError, "defines run"),
    (lambda m: m.plugins.runners.add(object), PluginError, "BaseTaskRunner"),
    (lambda m: m.plugins.storages.add(dict), PluginError, "Storage"),
    (lambda m: m.plugins.managers.add(dict), PluginError, "TriggerManager"),
    (lambda m: m.plugins.unregister(object()), PluginError, "not registered"),
    (lambda m: m.plugins.storage("other"), StorageNotFound, "alias 'other'"),
    (lambda m: m.plugins.open_storage("nosuch:x"), StorageNotFound, "'nosuch'"),
    (lambda m: SqliteStorage.from_url("sqlite:x"), StorageError, "sqlite:///relative.db"),
    (lambda m: MemoryStorage.from_url("memory:x"), StorageError, "'memory:'"),
    (lambda m: MemoryStorage(alias=""), InvalidName, "alias"),
    (lambda m: TriggerManager("", storage=m.storage, plugins=m.plugins), InvalidName, "session"),
    (lambda m: Reference.from_dict({}), InvalidReference, "exactly"),
    (lambda m: Reference.from_dict([]), InvalidReference, "exactly"),
    (lambda m: trigger_task(max_retries=-1)(print), ConfigurationError, "max_retries"),
    (lambda m: trigger_task(cooldown="soon")(print), ConfigurationError, "cooldown"),
    (lambda m: trigger_task(on_worker_lost="cry")(print), ConfigurationError, "on_worker_lost"),
]


@pytest.fixture(params=["memory", "sqlite"])
def session(request, tmp_path):
    """Give a manager of a session that has something in it to spoil."""
    made = MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "bad.db")
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(Idle())
    manager = TriggerManager("s", storage=made, plugins=plugins)
    manager.update_configuration({"t": GOOD, "u": {**GOOD, "after": ["a", "b"]}})
    manager.fire("a", {"n": 1}, event_id="first")
    yield manager
    made.close()


def everything(manager):
    """Return all that the store has."""
    with manager.storage.read(manager.session_uid) as reader:
        return (
            list(manager.storage.sessions()),
            reader.configuration().to_json(),
            reader.instances(),
            reader.latest_kwargs(["a", "b", "x"]),
            reader.outcome("first"),
        )


def refused(manager, call, error, fragment):
    before = everything(manager)
    with pytest.raises(error) as caught:
        call(manager)
    assert isinstance(caught.value, TriggersError)
    assert fragment in str(caught.value)
    assert everything(manager) == before


def test_the_table_has_at_least_sixty_rows():
    assert len(CONFIGURATIONS) + len(CALLS) >= 60


@pytest.mark.parametrize(("configuration", "fragment"), CONFIGURATIONS)
def test_a_malformed_configuration_is_refused(session, configuration, fragment):
    refused(
        session,
        lambda manager: manager.update_configuration(configuration),
        ConfigurationError,
        fragment,
    )


@pytest.mark.parametrize(("configuration", "fragment"), CONFIGURATIONS[3:])
def test_one_malformed_task_keeps_a_good_one_out_too(session, configuration, fragment):
    refused(
        session,
        lambda manager: manager.update_configuration({"t_good": GOOD, **configuration}),
        ConfigurationError,
        fragment,
    )


@pytest.mark.parametrize(("call", "error", "fragment"), CALLS)
def test_a_malformed_call_is_refused(session, call, error, fragment):
    refused(session, call, error, fragment)
