"""The join rules, against a plain model that is written from the rules alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers_core import (
    BaseTaskRunner,
    MemoryStorage,
    Plugins,
    SqliteStorage,
    TriggerManager,
    execute,
    hookimpl,
    trigger_task,
)

EXTERNAL = ["a", "b", "c", "d"]


class Model:
    """C3, C4, C5, F1 to F4 and F8 in dicts; a task ends as soon as it is ready."""

    def __init__(self, configuration):
        self.tasks = configuration
        self.instances = {name: [] for name in configuration}
        self.latest = {}

    def fire(self, trigger, kwargs):
        ready = []
        for name, task in self.tasks.items():
            awaited = set(task["after"]) | ({task["andEvery"]} if "andEvery" in task else set())
            unless = set(task.get("unless", ()))
            if trigger not in awaited | unless:
                continue
            instances = self.instances[name]
            took = [
                each
                for each in instances
                if each["status"] == "unstarted" and trigger not in each["took"]
            ]
            for each in took:
                each["took"][trigger] = kwargs
            if not instances or (task.get("andEvery") == trigger and not took):
                earlier = {key: self.latest[key] for key in awaited | unless if key in self.latest}
                took.append({"status": "unstarted", "took": {**earlier, trigger: kwargs}})
                instances.append(took[-1])
            for each in took:
                if unless and unless <= each["took"].keys():
                    each["status"] = "abandoned"
                elif awaited <= each["took"].keys():
                    each["status"] = "finished"
                    ready.append(name)
        self.latest[trigger] = kwargs
        return ready

    def run(self, firings):
        """Fire each, then let what became ready end in the order in which it did."""
        queue = [name for firing in firings for name in self.fire(*firing)]
        while queue:
            name = queue.pop(0)
            queue += self.fire(name, {"by": name})

    def seen(self):
        return {
            f"{name}#{number}": (each["status"], each["took"])
            for name, instances in self.instances.items()
            for number, each in enumerate(instances)
        }


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
