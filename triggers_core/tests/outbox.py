"""A shop whose messages a test delivers, loses and doubles by hand."""

from triggers_core import BaseTaskRunner, Plugins, TriggerManager

CONFIGURATION = {
    "t_ship": {"after": ["paid"], "run": "ship"},
    "t_thank": {"after": ["t_ship"], "run": "thank"},
}


class ShopManager(TriggerManager):
    name = "shop"
    default_task_runner_name = "outbox"
    dispatch_timeout = 300.0
    lease_duration = 60.0


class Outbox(BaseTaskRunner):
    """A broker in a list: a test delivers, loses and doubles its messages by hand."""

    name = "outbox"

    def __init__(self):
        self.sent = []
        self.is_down = False

    def run(self, manager, task_instance):
        if self.is_down:
            raise ConnectionError("connection refused")
        self.sent.append((manager, task_instance))


def plugins_with(outbox):
    """Return plugins without entry points: the outbox and the shop's manager."""
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(outbox)
    plugins.managers.add(ShopManager)
    return plugins
