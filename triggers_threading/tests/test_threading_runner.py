"""The runner with real sessions: who runs a task, when it queues, and what ``join_all`` awaits."""

import logging
import threading
from collections import Counter

import pytest

from triggers_core import (
    BaseTaskRunner,
    MemoryStorage,
    Plugins,
    Status,
    TriggersError,
    TriggerTask,
    hookimpl,
    trigger_task,
)
from triggers_threading import JoinError, JoinTimeout, ThreadingTaskRunner

DEADLINE = 60


def statuses(manager):
    return Counter(str(instance.status) for instance in manager.instances())


def every_firing(trigger_name, run):
    """Directives of a task that runs once for each firing of the trigger."""
    return {"after": [trigger_name], "andEvery": trigger_name, "run": run}


class Held(TriggerTask):
    """Runs until the gate opens; counts who is inside."""

    def __init__(self):
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.threads = set()

    def run(self, context):
        self.threads.add(threading.get_ident())
        self.entered.release()
        assert self.gate.wait(DEADLINE)

    def wait_for(self, count):
        for _ in range(count):
            assert self.entered.acquire(timeout=DEADLINE)


class TestThreads:
    def test_the_runner_is_found_by_its_entry_point(self):
        assert type(Plugins().runner("threading")) is ThreadingTaskRunner

    def test_each_running_task_has_a_thread_of_its_own(self, make_session):
        held = Held()
        manager, runner = make_session({"t": every_firing("go", "held")}, {"held": held})
        for _ in range(4):
            manager.fire("go")
        held.wait_for(4)

        assert statuses(manager) == {"running": 4}
        held.gate.set()
        runner.join_all(DEADLINE)
        assert len(held.threads - {threading.get_ident()}) == 4
        assert statuses(manager) == {"finished": 4}

    def test_fire_returns_before_the_task_ends(self, make_session):
        held = Held()
        manager, runner = make_session({"t": every_firing("go", "held")}, {"held": held})

        assert manager.fire("go").scheduled == ("t#0",)
        held.wait_for(1)
        assert manager.instance("t#0").status is Status.RUNNING
        held.gate.set()
        runner.join_all(DEADLINE)

    def test_work_beyond_max_workers_queues(self, make_session):
        held = Held()
        manager, runner = make_session(
            {"t": every_firing("go", "held")}, {"held": held}, max_workers=2
        )
        for _ in range(6):
            manager.fire("go")
        held.wait_for(2)

        assert statuses(manager) == {"running": 2, "scheduled": 4}
        held.gate.set()
        runner.join_all(DEADLINE)
        assert statuses(manager) == {"finished": 6}
        assert len(held.threads) == 2

    @pytest.mark.parametrize("max_workers", [0, -1, 1.5, "4", True, None])
    def test_max_workers_must_be_an_int_from_1(self, max_workers):
        with pytest.raises(ValueError, match=r"max_workers must be an int from 1, not "):
            ThreadingTaskRunner(max_workers)

    def test_a_task_that_exits_ends_neither_its_thread_nor_the_process(self, make_session):
        @trigger_task
        def leave(context):
            raise SystemExit("done here")

        manager, runner = make_session(
            {"t": every_firing("go", "leave")}, {"leave": leave}, max_workers=1
        )
        for _ in range(3):
            manager.fire("go")

        runner.join_all(DEADLINE)
        assert statuses(manager) == {"failed": 3}
        assert manager.instance("t#0").metadata["error"]["type"] == "SystemExit"

    def test_an_end_that_cannot_be_recorded_is_logged_and_the_thread_goes_on(
        self, make_session, caplog
    ):
        """F7: a cascade that reaches no runner is recorded, and the worker lives."""

        class Refusing(BaseTaskRunner):
            name = "refusing"

            def run(self, manager, task_instance):
                raise OSError("the queue is full")

        @trigger_task
        def pay(context):
            return {}

        manager, runner = make_session({}, {"pay": pay}, max_workers=1)
        manager.plugins.use_runner(Refusing())
        manager.update_configuration(
            {
                "t": every_firing("go", "pay"),
                "after_t": {**every_firing("t", "pay"), "using": "refusing"},
            }
        )
        with caplog.at_level(logging.ERROR, "triggers_threading"):
            manager.fire("go")
            manager.fire("go")
            runner.join_all(DEADLINE)

        assert statuses(manager) == {"finished": 2, "scheduled": 2}
        assert [record.exc_info[0].__name__ for record in caplog.records] == ["DispatchError"] * 2


class TestJoinAll:
    def test_without_work_it_returns_at_once(self):
        ThreadingTaskRunner().join_all()

    def test_it_waits_for_cascades_of_cascades(self, make_session):
        @trigger_task
        def step(context):
            return {}

        configuration = {
            "t1": {"after": ["go"], "run": "step"},
            "left": {"after": ["t1"], "run": "step"},
            "right": {"after": ["t1"], "run": "step"},
            "joined": {"after": ["left", "right"], "run": "step"},
        }
        manager, runner = make_session(configuration, {"step": step})
        manager.fire("go")

        runner.join_all(DEADLINE)
        assert statuses(manager) == {"finished": 4}

    def test_it_waits_for_retries_and_their_cooldown(self, make_session):
        """X4: the clone starts no sooner than the cooldown after the attempt ended."""
        starts = []

        @trigger_task(max_retries=2, cooldown=0.2)
        def flaky(context):
            starts.append(context.manager.storage.now())
            if context.attempt < 3:
                context.retry()
            return {}

        manager, runner = make_session({"t": {"after": ["go"], "run": "flaky"}}, {"flaky": flaky})
        manager.fire("go")

        runner.join_all(DEADLINE)
        assert [str(i.status) for i in manager.instances()] == ["replayed", "replayed", "finished"]
        ends = [instance.changed_at for instance in manager.instances()]
        assert starts[1] >= ends[0] + 0.2
        assert starts[2] >= ends[1] + 0.2

    def test_it_returns_when_tasks_fail_and_raises_nothing(self, make_session):
        @trigger_task
        def fail(context):
            raise ValueError("no")

        manager, runner = make_session({"t": every_firing("go", "fail")}, {"fail": fail})
        for _ in range(5):
            manager.fire("go")

        runner.join_all(DEADLINE)
        assert statuses(manager) == {"failed": 5}

    def test_it_waits_for_what_other_threads_fire_meanwhile(self, make_session):
        held = Held()
        manager, runner = make_session({"t": every_firing("go", "held")}, {"held": held})
        manager.fire("go")
        held.wait_for(1)

        def fire_more():
            for _ in range(3):
                manager.fire("go")
            held.gate.set()

        other = threading.Thread(target=fire_more)
        other.start()
        runner.join_all(DEADLINE)
        other.join(DEADLINE)
        assert statuses(manager) == {"finished": 4}

    def test_it_never_returns_between_a_task_and_its_cascade(self, make_session):
        @trigger_task
        def step(context):
            return {}

        chain = {"t1": "go", "t2": "t1", "t3": "t2"}
        manager, runner = make_session(
            {task: every_firing(trigger, "step") for task, trigger in chain.items()},
            {"step": step},
            storage=MemoryStorage(),
        )
        for round_number in range(1, 151):
            manager.fire("go")
            runner.join_all(DEADLINE)
            with manager.storage.read(manager.session_uid) as reader:
                assert not reader.is_active()
                assert reader.next_number("t3") == round_number

    def test_threads_that_fire_and_join_at_once_lose_nothing(self, make_session):
        """F9: fires from several threads equal some serial order; a join sees all of its own."""

        @trigger_task(max_retries=1, cooldown=0.002)
        def step(context):
            number = context.trigger_kwargs["go"]["number"]
            if number % 5 == 0 and context.attempt == 1:
                context.retry()
            if number % 7 == 0:
                raise ValueError(number)
            return {"number": number}

        @trigger_task
        def follow(context):
            return {}

        manager, runner = make_session(
            {"t": every_firing("go", "step"), "followed": every_firing("t", "follow")},
            {"step": step, "follow": follow},
            max_workers=3,
            storage=MemoryStorage(),
        )
        unfinished = []

        def fire_and_join(first):
            for number in range(first, first + 30):
                (made,) = manager.fire("go", {"number": number}).created
                runner.join_all(DEADLINE)
                if manager.instance(made).status in {Status.SCHEDULED, Status.RUNNING}:
                    unfinished.append(made)

        threads = [threading.Thread(target=fire_and_join, args=(n * 30,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)

        assert unfinished == []
        retried = sum(1 for n in range(90) if n % 5 == 0)
        failed = sum(1 for n in range(90) if n % 7 == 0)
        assert Counter(str(i.status) for i in manager.instances("t")) == {
            "replayed": retried,
            "failed": failed,
            "finished": 90 - failed,
        }
        assert len(manager.instances("followed", statuses=[Status.FINISHED])) == 90 - failed

    def test_a_timeout_says_what_is_left_and_the_work_goes_on(self, make_session):
        held = Held()
        manager, runner = make_session(
            {"t": every_firing("go", "held")}, {"held": held}, max_workers=1
        )
        manager.fire("go")
        manager.fire("go")

        with pytest.raises(JoinTimeout, match=r"after 0\.01 s, 2 task instances are queued or"):
            runner.join_all(0.01)
        held.gate.set()
        runner.join_all(DEADLINE)
        assert statuses(manager) == {"finished": 2}

    def test_a_timeout_is_a_triggers_error_and_a_timeout_error(self):
        assert issubclass(JoinTimeout, TriggersError)
        assert issubclass(JoinTimeout, TimeoutError)

    def test_a_task_that_joins_its_own_runner_gets_an_error(self, make_session):
        raised = []

        @trigger_task
        def join(context):
            try:
                context.manager.plugins.runner("threading").join_all()
            except ValueError as error:
                raised.append(error)
                raise

        manager, runner = make_session({"t": {"after": ["go"], "run": "join"}}, {"join": join})
        manager.fire("go")

        runner.join_all(DEADLINE)
        (error,) = raised
        assert isinstance(error, JoinError)
        assert isinstance(error, TriggersError)
        assert "called by a task that it would wait for" in str(error)
        assert manager.instance("t#0").metadata["error"]["type"] == "JoinError"

    def test_an_observer_that_joins_gets_the_error_too(self, make_session, caplog):
        class Joining:
            @hookimpl
            def triggers_settled(self, manager):
                manager.plugins.runner("threading").join_all()

        @trigger_task
        def step(context):
            return {}

        manager, runner = make_session({"t": {"after": ["go"], "run": "step"}}, {"step": step})
        manager.plugins.register(Joining(), "joining")
        manager.fire("go")

        runner.join_all(DEADLINE)
        (record,) = caplog.records
        assert record.exc_info[0] is JoinError

    def test_a_task_may_join_another_runner(self, make_session):
        @trigger_task
        def step(context):
            return {}

        inner, inner_runner = make_session(
            {"inner": {"after": ["go"], "run": "step"}}, {"step": step}
        )

        @trigger_task
        def fire_and_join(context):
            inner.fire("go")
            inner_runner.join(DEADLINE)
            return {"inner": str(inner.instance("inner#0").status)}

        outer, outer_runner = make_session(
            {"outer": {"after": ["go"], "run": "outer"}}, {"outer": fire_and_join}
        )
        outer.fire("go")

        outer_runner.join_all(DEADLINE)
        assert outer.instance("outer#0").metadata["result"] == {"inner": "finished"}

    def test_on_the_class_it_waits_for_the_work_of_every_object(self, make_session):
        held = Held()
        first, _ = make_session({"t": {"after": ["go"], "run": "held"}}, {"held": held})
        second, _ = make_session({"t": {"after": ["go"], "run": "held"}}, {"held": held})
        first.fire("go")
        second.fire("go")

        for join_all in (ThreadingTaskRunner.join_all, ThreadingTaskRunner().join_all):
            with pytest.raises(JoinTimeout, match="2 task instances are queued or running"):
                join_all(0.01)
        held.gate.set()
        ThreadingTaskRunner.join_all(DEADLINE)

        assert statuses(first) == statuses(second) == {"finished": 1}

    def test_one_object_can_be_waited_for_alone(self, make_session):
        held = Held()

        @trigger_task
        def step(context):
            return {}

        busy, busy_runner = make_session({"t": {"after": ["go"], "run": "held"}}, {"held": held})
        quick, quick_runner = make_session({"t": {"after": ["go"], "run": "step"}}, {"step": step})
        busy.fire("go")
        quick.fire("go")

        quick_runner.join(DEADLINE)
        assert statuses(quick) == {"finished": 1}
        with pytest.raises(JoinTimeout, match="1 task instances are"):
            busy_runner.join(0.01)
        held.gate.set()
        busy_runner.join(DEADLINE)

    def test_a_task_that_joins_all_gets_an_error_on_whichever_object(self, make_session):
        @trigger_task
        def join(context):
            ThreadingTaskRunner().join_all()

        manager, runner = make_session({"t": {"after": ["go"], "run": "join"}}, {"join": join})
        manager.fire("go")

        runner.join(DEADLINE)
        assert manager.instance("t#0").metadata["error"]["type"] == "JoinError"
