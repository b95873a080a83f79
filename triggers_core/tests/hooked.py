"""What tests of hooks share: a task for each way to end, and plugins that hear or raise."""

from types import SimpleNamespace

from triggers_core import TriggerTask, hookimpl, trigger_task

TARGETS = __name__
"""What the tasks' targets begin with."""


@trigger_task
def pay(context):
    return {"paid": True}


class Pay(TriggerTask):
    def run(self, context):
        return {"paid": True}


@trigger_task
def tell_what_was_fired(context):
    return context.trigger_kwargs


@trigger_task
def retry_once(context):
    if context.attempt == 1:
        context.retry()


@trigger_task
def skip(context):
    context.skip()


@trigger_task
def fail(context):
    raise RuntimeError("no money")


def configuration(run, **directives):
    return {"t_pay": {"after": ["ordered"], "run": f"{TARGETS}.{run}", **directives}}


class Recorder:
    """Implements every hook, decides nothing, and keeps each call in order."""

    def __init__(self):
        self.story = []
        self._calls = []

    def of(self, hook_name):
        """Return the arguments of each call of one hook."""
        return [arguments for called, arguments in self._calls if called == hook_name]

    def clear(self):
        self.story.clear()
        self._calls.clear()

    def _hear(self, hook_name, *about, **arguments):
        self.story.append((hook_name, *about))
        self._calls.append((hook_name, SimpleNamespace(**arguments)))

    @hookimpl
    def triggers_validate_directive(self, task_name, directive):
        self._hear("validate_directive", task_name, directive)

    @hookimpl
    def triggers_select_runner(self, task_instance):
        self._hear("select_runner", task_instance.name)

    @hookimpl
    def triggers_run(self, task_instance):
        self._hear("run", task_instance.name)

    @hookimpl
    def triggers_resolve_task(self, target):
        self._hear("resolve_task", target)

    @hookimpl
    def triggers_execute(self, context):
        self._hear("execute", context.instance.name)

    @hookimpl
    def triggers_fired(self, manager, trigger_name, trigger_kwargs, outcome):
        self._hear(
            "fired",
            trigger_name,
            manager=manager,
            trigger_name=trigger_name,
            trigger_kwargs=trigger_kwargs,
            outcome=outcome,
        )

    @hookimpl
    def triggers_status_changed(self, manager, task_instance, old_status):
        self._hear(
            "status_changed",
            task_instance.name,
            old_status,
            task_instance.status,
            manager=manager,
        )

    @hookimpl
    def triggers_replayed(self, manager, task_instance, clone):
        self._hear(
            "replayed",
            task_instance.name,
            clone.name,
            manager=manager,
            task_instance=task_instance,
            clone=clone,
        )

    @hookimpl
    def triggers_skipped(self, manager, task_instance):
        self._hear("skipped", task_instance.name, manager=manager, task_instance=task_instance)

    @hookimpl
    def triggers_closed(self, manager, closing):
        self._hear("closed", closing, manager=manager, closing=closing)

    @hookimpl
    def triggers_settled(self, manager):
        self._hear("settled", manager=manager)


def failing(hook_name):
    """Return a plugin that raises in the hook."""

    @hookimpl(specname=hook_name)
    def out_of_order():
        raise ZeroDivisionError("out of order")

    return SimpleNamespace(out_of_order=out_of_order)
