"""A store with one session that has gone wrong, a runner that waits, and a browser's view of it."""

from collections import deque

import pytest
from starlette.testclient import TestClient

from triggers_core import (
    BaseTaskRunner,
    MemoryStorage,
    Plugins,
    TriggerManager,
    execute,
    hookimpl,
    trigger_task,
)
from triggers_web.app import create_app

TOKEN = "the-token-of-this-test"
BASE_URL = "http://127.0.0.1:8765"


class HeldRunner(BaseTaskRunner):
    """Holds what it is handed until the test plays the worker."""

    name = "held"

    def __init__(self):
        self.held = deque()

    def run(self, manager, task_instance):
        self.held.append((manager, task_instance))

    def work(self):
        while self.held:
            manager, instance = self.held.popleft()
            execute(manager, instance, resolve=self.resolve)


class HeldManager(TriggerManager):
    name = "held"
    default_task_runner_name = "held"


@trigger_task
def works(context):
    return {"by": context.instance.name}


@trigger_task
def breaks(context):
    raise ValueError(context.trigger_kwargs["fee_paid"].get("reason", "no such account"))


class Hooks:
    """The tasks, by the name that a test's configuration gives them."""

    @hookimpl
    def triggers_resolve_task(self, target):
        return {"works": works, "breaks": breaks}.get(target)


PERMIT = {
    "t_check": {"after": ["applied"], "run": "works"},
    "t_close": {
        "after": ["t_check", "fee_paid"],
        "unless": ["withdrawn"],
        "run": "breaks",
        "withParams": {"fee_paid": {"currency": "EUR"}},
    },
    "t_advise": {"after": ["t_check"], "andEvery": "neighbour", "run": "works"},
    "t_archive": {"after": ["t_close", "paper_in"], "run": "works"},
}


@pytest.fixture
def runner():
    return HeldRunner()


@pytest.fixture
def plugins(runner):
    plugins = Plugins(load_entry_points=False)
    plugins.use_runner(runner)
    plugins.managers.add(HeldManager)
    plugins.register(Hooks())
    return plugins


@pytest.fixture
def storage():
    storage = MemoryStorage()
    yield storage
    storage.close()


@pytest.fixture
def make_session(storage, plugins, runner):
    """Return a function that makes a session, fires into it, and does the work that comes of it."""

    def make(uid, *firings, configuration=PERMIT):
        manager = HeldManager(uid, storage=storage, plugins=plugins)
        manager.update_configuration(configuration)
        for firing in firings:
            manager.fire(*firing)
        runner.work()
        return manager

    return make


@pytest.fixture
def permit(make_session):
    """Give the session ``permit 7``: checked, and failed when it was to be closed."""
    return make_session("permit 7", ("applied", {"plot": 12}), ("fee_paid", {"amount": 40}))


@pytest.fixture
def make_client(storage, plugins):
    """Return a function (token) → a browser without JavaScript on the application."""

    def make(token=None, **options):
        app = create_app(storage, plugins=plugins, token=token, **options)
        return TestClient(
            app, base_url=BASE_URL, raise_server_exceptions=False, follow_redirects=False
        )

    return make


@pytest.fixture
def client(make_client):
    """Give a browser on a read-only application."""
    return make_client()


@pytest.fixture
def acting(make_client, permit):
    """Give a browser on an application that allows actions, not logged in yet."""
    return make_client(TOKEN)


@pytest.fixture
def logged_in(acting):
    """Give the browser once it is logged in."""
    assert acting.post("/login", data={"token": TOKEN}).status_code == 303
    return acting
