"""The join rules, against a plain model that is written from the rules alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers_core import (
    BaseTaskRunner,
    MemoryStorage,
    Plugins,
    SqliteStorage,
    Status,
    TriggerManager,
    execute,
    hookimpl,
    trigger_task,
)

EXTERNAL = ["a", "b", "c", "d"]


class Model:
    """C3, C4, C5, F1 to F4 and F8 in dicts; a task ends as soon as it is ready. An instance keeps
    the directives that it was made under, unless it is taken over."""

    def __init__(self, configuration):
        self.tasks = configuration
        self.instances = {name: [] for name in configuration}
        self.latest = {}

    def fire(self, trigger, kwargs):
        taken, made = [], []
        for name, number in sorted(self.waiting_for(trigger)):
            taken.append((name, self.instances[name][number]))
        for name, task in self.tasks.items():
            instances = self.instances.setdefault(name, [])
            if trigger not in awaited(task) | unless(task) or name in dict(taken):
                continue
            if not instances or task.get("andEvery") == trigger:
                made.append((name, {"status": "unstarted", "took": {}, "task": task}))
                instances.append(made[-1][1])
                self.catch_up(made[-1][1])
        for _, each in taken + made:
            each["took"][trigger] = kwargs
        self.latest[trigger] = kwargs
        return [name for name, each in taken + made if self.decide(each)]

    def configure(self, tasks, *, replace, abandon_retired, update_instances):
        """Change the configuration; return the tasks of what became ready by it."""
        self.tasks = tasks if replace else {**self.tasks, **tasks}
        ready = []
        for name in sorted(self.instances):
            for each in self.instances[name]:
                task = self.tasks.get(name)
                if each["status"] != "unstarted" or each["task"] == task:
                    continue
                if task is None and abandon_retired:
                    each["status"] = "abandoned"
                elif task is not None and update_instances:
                    each["task"] = task
                    self.catch_up(each)
                    ready += [name] if self.decide(each) else []
        return ready

    def abandon(self, trigger):
        for name, number in self.waiting_for(trigger):
            self.instances[name][number]["status"] = "abandoned"

    def waiting_for(self, trigger):
        return [
            (name, number)
            for name, instances in self.instances.items()
            for number, each in enumerate(instances)
            if each["status"] == "unstarted"
            and trigger in awaited(each["task"]) | unless(each["task"])
            and trigger not in each["took"]
        ]

    def catch_up(self, each):
        for trigger in awaited(each["task"]) | unless(each["task"]):
            if trigger in self.latest:
                each["took"].setdefault(trigger, self.latest[trigger])

    def decide(self, each):
        if unless(each["task"]) and unless(each["task"]) <= each["took"].keys():
            each["status"] = "abandoned"
        elif awaited(each["task"]) <= each["took"].keys():
            each["status"] = "finished"
        return each["status"] == "finished"

    def run(self, firings):
        """Fire each, then let what became ready end in the order in which it did."""
        self.end([name for firing in firings for name in self.fire(*firing)])

    def end(self, queue):
        while queue:
            name = queue.pop(0)
            queue += self.fire(name, {"by": name})

    def seen(self):
        return {
            f"{name}#{number}": (each["status"], each["took"])
            for name, instances in self.instances.items()
            for number, each in enumerate(instances)
        }


def awaited(task):
    return {*task["after"], *([task["andEvery"]] if "andEvery" in task else [])}


def unless(task):
    return set(task.get("unless", ()))


class Queue(BaseTaskRunner):
    """Runs what was dispatched in that order, when it is told to."""

    name = "queue"

    def __init__(self):
        self.waiting = []

    def run(self, manager, task_instance):
        self.waiting.append((manager, task_instance))

    def drain(self):
        while self.waiting:
            execute(*self.waiting.pop(0))


class Tasks:
    @hookimpl
    def triggers_resolve_task(self):
        return trigger_task(lambda context: {"by": context.instance.task_name})


@st.composite
def configurations(draw):
    """Up to four tasks; each may follow only those before it, so that no cascade is endless."""
    configuration = {}
    for number in range(draw(st.integers(1, 4))):
        sources = [*EXTERNAL, *configuration]
        task = {
            "after": draw(st.lists(st.sampled_from(sources), min_size=1, max_size=3, unique=True)),
            "run": "any.task",
            "using": "queue",
        }
        if draw(st.booleans()):
            task["andEvery"] = draw(st.sampled_from(sources))
        if draw(st.booleans()):
            task["unless"] = draw(
                st.lists(st.sampled_from(sources), min_size=1, max_size=2, unique=True)
            )
        configuration[f"t{number}"] = task
    return configuration


FIRINGS = st.tuples(st.sampled_from(EXTERNAL), st.builds(lambda n: {"n": n}, st.integers(0, 9)))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=120, deadline=None, derandomize=True)
@given(configuration=configurations(), firings=st.lists(FIRINGS, max_size=12))
def test_any_firings_of_any_configuration_give_what_the_rules_say(
    kind, tmp_path_factory, configuration, firings
):
    def fire_each(manager, queue, model):
        for firing in firings:
            manager.fire(*firing)
            queue.drain()
            model.run([firing])

    found, model = done(kind, tmp_path_factory, configuration, fire_each)

    assert found == model.seen()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    configuration=configurations(),
    batches=st.lists(st.lists(FIRINGS, min_size=2, max_size=8), max_size=4),
)
def test_any_batches_of_firings_give_what_the_rules_say(
    kind, tmp_path_factory, configuration, batches
):
    def fire_batches(manager, queue, model):
        for batch in batches:
            manager.fire_many(batch)
            queue.drain()
            model.run(batch)

    found, model = done(kind, tmp_path_factory, configuration, fire_batches)

    assert found == model.seen()


CHANGES = st.one_of(
    FIRINGS,
    FIRINGS,
    st.fixed_dictionaries(
        {
            "configuration": configurations(),
            "replace": st.booleans(),
            "abandon_retired": st.booleans(),
            "update_instances": st.booleans(),
        }
    ),
    st.sampled_from(EXTERNAL),
)
"""A firing; a change of the configuration; or a trigger, to abandon what waits for it."""


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=200, deadline=None, derandomize=True)
@given(configuration=configurations(), changes=st.lists(CHANGES, max_size=14))
def test_any_changes_of_the_configuration_amid_firings_give_what_the_rules_say(
    kind, tmp_path_factory, configuration, changes
):
    def make_each(manager, queue, model):
        for change in changes:
            if isinstance(change, tuple):
                manager.fire(*change)
                queue.drain()
                model.run([change])
            elif isinstance(change, str):
                for instance in manager.instances(statuses={Status.UNSTARTED}):
                    if change in instance.waits_for:
                        manager.abandon_instance(instance, reason="it is given up")
                model.abandon(change)
            else:
                told = manager.update_configuration(**change, dry_run=True)
                assert manager.update_configuration(**change).is_change == told.is_change
                queue.drain()
                options = {key: value for key, value in change.items() if key != "configuration"}
                model.end(model.configure(change["configuration"], **options))
            assert dict(manager.configuration()).keys() == model.tasks.keys()

    found, model = done(kind, tmp_path_factory, configuration, make_each)

    assert found == model.seen()


def done(kind, tmp_path_factory, configuration, fire):
    """Return what a session holds after ``fire(manager, queue, model)``, and the model."""
    folder = tmp_path_factory.mktemp("model")
    made = MemoryStorage() if kind == "memory" else SqliteStorage(folder / "m.db")
    plugins = Plugins(load_entry_points=False)
    queue = Queue()
    plugins.use_runner(queue)
    plugins.register(Tasks())
    manager = TriggerManager("s", storage=made, plugins=plugins)
    manager.update_configuration(configuration)
    model = Model(configuration)
    fire(manager, queue, model)
    found = {
        instance.name: (instance.status.value, instance.trigger_kwargs)
        for instance in manager.instances()
    }
    made.close()
    return found, model
