"""One task, any runner: what a Celery task does on a real worker, it does in threads as well, and a
task that is none of Celery's runs on a worker too."""

from itertools import pairwise
from pathlib import Path

import pytest

from triggers_core.recovery import recover_once

ALIKE = [
    "described",
    "in_context",
    "in_context_in_vain",
    "retry_before_start",
    "retry_countdown",
    "retry_eta",
    "retry_default_delay",
    "retry_exceeded",
    "retry_without_end",
    "retry_wrongly",
    "autoretry",
    "context_retry",
    "context_skip",
    "raise_retry",
    "ignore",
    "reject",
    "reject_and_requeue",
    "fail",
    "leave",
    "bad_result",
]
"""The tasks that end in the same way on a worker and in threads."""

WAYS = ["finish", "fail", "retry", "retry in vain", "skip"]
GIVE_OR_TAKE = 0.3
"""Seconds between a retry that is asked for and the transaction that records it."""


@pytest.fixture(scope="module")
def shop(open_shop, redis):
    back = redis.new_queue()
    shop = open_shop(redis, task_routes={"plain_steps.whe*": {"queue": back}})
    shop.back = back
    shop.start_worker()
    shop.start_worker("back", queue=back, concurrency=1)
    return shop


@pytest.fixture(scope="module", autouse=True)
def in_this_process(shop):
    """Tasks that run in this process leave their traces where those on a worker do; the steps that
    are none of Celery's can be imported here as there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERS_TRACES", str(shop.traces))
        patch.syspath_prepend(Path(__file__).parent / "app")
        yield


def tried(shop, run, using, kwargs=None, options=None):
    """Return a session in which the task was fired, with a note that waits for it."""
    directives = {"run": run, "using": using, "celery": options or {}}
    manager = shop.session(
        {
            "t_first": {"after": ["go"], **directives},
            "t_next": {"after": ["t_first"], "run": "orders.note", "using": using},
        }
    )
    manager.fire("go", kwargs)
    return manager


def settled(shop, manager):
    shop.settle()
    shop.plugins.runner("threading").join()
    return manager


@pytest.fixture(scope="module")
def sessions(shop):
    """(task, runner) → a session in which the task was fired, and has ended."""
    sessions = {
        (name, using): tried(shop, f"orders.{name}", using)
        for name in ALIKE
        for using in ("celery", "threading")
    }
    for manager in sessions.values():
        settled(shop, manager)
    return sessions


def story(manager):
    """Return all that is recorded of a session but the times and the traceback."""
    return [
        {
            "name": instance.name,
            "status": instance.status,
            "attempt": instance.attempt,
            "parent": instance.parent,
            "took": instance.trigger_kwargs,
            "result": instance.metadata.get("result"),
            "error": {**instance.metadata.get("error", {}), "traceback": None},
        }
        for instance in manager.instances()
    ]


def cooldowns(manager):
    return [
        max(clone.not_before - first.ended_at, 0.0)
        for first, clone in pairwise(manager.instances("t_first"))
    ]


@pytest.mark.parametrize("name", ALIKE)
def test_a_celery_task_ends_in_threads_as_on_a_worker(sessions, name):
    on_worker, in_threads = sessions[name, "celery"], sessions[name, "threading"]

    assert story(in_threads) == story(on_worker)
    assert cooldowns(in_threads) == pytest.approx(cooldowns(on_worker), abs=GIVE_OR_TAKE)


@pytest.mark.parametrize("name", ["retry_countdown", "autoretry", "in_context"])
def test_an_error_is_told_from_the_task_on(sessions, name):
    """Both lead to the task's own line."""
    for using in ("celery", "threading"):
        error = sessions[name, using].instance("t_first#0").metadata["error"]
        assert "the bank is closed" in error["traceback"]


def by_instance(traces):
    """Return an instance's lines together: another process may begin its clone before it has told
    all of it."""
    return sorted((line for line in traces if ":" in line), key=lambda line: line.partition(":")[0])


@pytest.mark.parametrize("way", WAYS)
def test_celerys_handlers_and_signals_are_called_in_threads_as_on_a_worker(shop, way):
    managers = [
        settled(shop, tried(shop, "orders.handlers", using, {"way": way}))
        for using in ("celery", "threading")
    ]
    on_worker, in_threads = (by_instance(shop.traces_of(manager)) for manager in managers)

    assert in_threads == on_worker
    assert "t_first#0:task_prerun" in on_worker
    assert story(managers[0]) == story(managers[1])


def test_a_task_sees_the_same_request_in_threads_as_on_a_worker(shop):
    on_worker, in_threads = (
        settled(shop, tried(shop, "orders.request", using, options={"headers": {"tenant": "a"}}))
        for using in ("celery", "threading")
    )
    told, told_on_worker = (
        manager.instance("t_first#0").metadata["result"] for manager in (in_threads, on_worker)
    )

    for manager, seen in ((on_worker, told_on_worker), (in_threads, told)):
        (reference,) = seen.pop("args")
        assert reference["session"] == manager.session_uid
        assert len(seen.pop("id")) == len("00000000-0000-0000-0000-000000000000")
    assert told == told_on_worker
    assert told == {"retries": 0, "called_directly": False, "tenant": "a"}


def test_one_task_moves_from_a_worker_to_threads_and_back_within_a_session(shop):
    steps = {
        "t_first": {"after": ["go"], "andEvery": "go", "run": "orders.autoretry"},
        "t_next": {"after": ["t_first"], "andEvery": "t_first", "run": "orders.note"},
    }
    manager = shop.session({})
    for using in ("celery", "threading", "celery"):
        manager.update_configuration(
            {name: {**directives, "using": using} for name, directives in steps.items()}
        )
        manager.fire("go")
        settled(shop, manager)

    once = ["replayed", "replayed", "finished"]
    assert [instance.status for instance in manager.instances("t_first")] == once * 3
    assert [instance.attempt for instance in manager.instances("t_first")] == [1, 2, 3] * 3
    assert [instance.status for instance in manager.instances("t_next")] == ["finished"] * 3
    waited = [
        clone.not_before > first.ended_at for first, clone in pairwise(manager.instances("t_first"))
    ]
    assert waited == [True, True, False, True, True, False, True, True]


@pytest.mark.parametrize("using", ["celery", "threading"])
def test_a_celery_name_that_is_no_path_is_found(shop, using):
    manager = settled(shop, tried(shop, "an order's own name", using))

    assert manager.instance("t_first#0").metadata["result"] == {"named": "otherwise"}


@pytest.mark.parametrize(
    ("run", "ends"),
    [
        ("plain_steps.try_again", ["replayed", "replayed", "finished"]),
        ("plain_steps.Pack", ["finished"]),
        ("plain_steps.fail", ["failed"]),
        ("plain_steps.leave", ["failed"]),
    ],
)
def test_a_task_that_is_none_of_celerys_ends_on_a_worker_as_in_threads(shop, run, ends):
    on_worker, in_threads = (
        settled(shop, tried(shop, run, using, {"parcel": "a globe"}))
        for using in ("celery", "threading")
    )

    assert [instance.status for instance in on_worker.instances("t_first")] == ends
    assert story(on_worker) == story(in_threads)
    assert cooldowns(on_worker) == pytest.approx(cooldowns(in_threads), abs=GIVE_OR_TAKE)


def test_a_task_that_is_none_of_celerys_is_routed_and_told_by_its_own_name(shop):
    manager = settled(shop, tried(shop, "plain_steps.where", "celery"))

    assert manager.instance("t_first#0").metadata["result"] == {
        "worker": "back@test",
        "task": "triggers.run",
        "shadow": "plain_steps.where",
    }


def test_the_directive_goes_before_the_route_of_a_task_that_is_none_of_celerys(shop):
    manager = tried(shop, "plain_steps.where", "celery", options={"queue": shop.queue})
    settled(shop, manager)

    assert manager.instance("t_first#0").metadata["result"]["worker"] == "worker@test"


def test_a_task_that_is_none_of_celerys_outlives_its_worker(shop, wait_until):
    queue = shop.back + "-doomed"
    doomed = shop.start_worker("doomed", queue=queue, concurrency=1)
    manager = shop.session(
        {
            "t_first": {
                "after": ["go"],
                "run": "plain_steps.hang_once",
                "using": "celery",
                "celery": {"queue": queue},
            }
        },
        shop.hasty_manager,
    )
    started = shop.folder / "started"
    manager.fire("go", {"started": str(started)})
    wait_until(started.exists, "the task to start")
    doomed.kill()
    shop.start_worker("heir", queue=queue, concurrency=1)
    wait_until(
        lambda: manager.instance("t_first#0").recover_at < manager.storage.now(), "the lease"
    )
    recover_once(shop.storage, plugins=shop.plugins)
    settled(shop, manager)

    assert [instance.status for instance in manager.instances()] == ["replayed", "finished"]
