"""The pool on its own: what is submitted runs once, whatever ends, fails or forks around it."""

import gc
import itertools
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest

from triggers_threading import pool as pool_module
from triggers_threading.pool import ThreadPool

DEADLINE = 60
_numbers = itertools.count()


def make_pool(max_workers=4, on_error=print):
    return ThreadPool(max_workers, f"pool {next(_numbers)}", on_error)


def threads_of(pool):
    return [thread for thread in threading.enumerate() if thread.name == pool._name]


def fail_to_start(_thread):
    raise RuntimeError("can't start new thread")


@pytest.fixture
def lingering_pool(monkeypatch):
    """A pool whose threads stay when they are idle."""
    monkeypatch.setattr(pool_module, "LINGER_SECONDS", DEADLINE)
    pool = make_pool()
    yield pool
    monkeypatch.setattr(pool_module, "LINGER_SECONDS", 0)
    pool.submit(lambda: None)  # wakes the thread, which then ends


def wait_until_idle(pool):
    """Wait for the end of a call and a little more: until its thread looks for another."""
    pool.join(DEADLINE)
    until = time.monotonic() + DEADLINE
    while pool._idle < len(threads_of(pool)):
        assert time.monotonic() < until
        time.sleep(0)


def test_every_call_runs_once():
    pool, numbers = make_pool(), []
    for number in range(100):
        pool.submit(lambda number=number: numbers.append(number))

    assert pool.join(DEADLINE) == 0
    assert sorted(numbers) == list(range(100))


def test_one_worker_keeps_the_order():
    pool, numbers = make_pool(max_workers=1), []
    for number in range(100):
        pool.submit(lambda number=number: numbers.append(number))

    pool.join(DEADLINE)
    assert numbers == list(range(100))


def test_threads_never_outnumber_the_bound():
    pool, gate = make_pool(max_workers=3), threading.Event()
    for _ in range(10):
        pool.submit(lambda: gate.wait(DEADLINE))

    started = len(threads_of(pool))
    gate.set()
    assert started == 3
    assert pool.join(DEADLINE) == 0


def test_an_idle_thread_is_used_before_another_is_started(lingering_pool):
    pool, used = lingering_pool, []
    for _ in range(3):
        pool.submit(lambda: used.append(threading.current_thread()))
        wait_until_idle(pool)

    assert len(used) == 3
    assert set(used) == set(threads_of(pool))
    assert len(threads_of(pool)) == 1


def test_threads_end_when_there_is_nothing_more_to_do():
    pool = make_pool()
    for _ in range(4):
        pool.submit(lambda: None)
    pool.join(DEADLINE)

    for thread in threads_of(pool):
        thread.join(DEADLINE)
    assert threads_of(pool) == []


def test_an_idle_thread_keeps_nothing_of_its_last_call_alive(lingering_pool):
    class Payload:
        def use(self):
            pass

    freed, payload = threading.Event(), Payload()
    weakref.finalize(payload, freed.set)
    lingering_pool.submit(payload.use)
    wait_until_idle(lingering_pool)
    del payload

    assert freed.is_set()


def test_a_delayed_call_runs_no_sooner_and_keeps_no_worker_from_others():
    pool, order = make_pool(max_workers=1), []
    started = time.monotonic()
    pool.submit(lambda: order.append(("delayed", time.monotonic())), delay=1.0)
    pool.submit(lambda: order.append(("at once", time.monotonic())))

    pool.join(DEADLINE)
    assert [name for name, _ in order] == ["at once", "delayed"]
    assert order[1][1] - started >= 1.0


def test_delayed_calls_run_in_the_order_in_which_they_are_due():
    pool, order = make_pool(max_workers=1), []
    for delay in (0.3, 0.1, 0.2):
        pool.submit(lambda delay=delay: order.append(delay), delay=delay)

    pool.join(DEADLINE)
    assert order == [0.1, 0.2, 0.3]


def test_join_returns_how_many_calls_are_left_at_the_timeout():
    pool, gate = make_pool(max_workers=1), threading.Event()
    for _ in range(3):
        pool.submit(lambda: gate.wait(DEADLINE))

    assert pool.join(0.01) == 3
    gate.set()
    assert pool.join(DEADLINE) == 0


def test_join_waits_for_calls_that_calls_submit():
    for _ in range(200):
        pool, done = make_pool(), []

        def step(left, pool=pool, done=done):
            done.append(left)
            if left:
                pool.submit(lambda: step(left - 1))

        pool.submit(lambda: step(5))
        assert pool.join(DEADLINE) == 0
        assert done == [5, 4, 3, 2, 1, 0]


def test_no_call_is_lost_while_threads_start_and_end_all_the_time(monkeypatch):
    monkeypatch.setattr(pool_module, "LINGER_SECONDS", 0.0001)
    pool, counted, lock = make_pool(max_workers=3), [], threading.Lock()

    def count():
        with lock:
            counted.append(1)

    def submit_many():
        for number in range(400):
            pool.submit(count, delay=0.0003 * (number % 4))
            if number % 10 == 0:
                pool.join(DEADLINE)

    submitters = [threading.Thread(target=submit_many) for _ in range(3)]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join(DEADLINE)

    assert pool.join(DEADLINE) == 0
    assert len(counted) == 1200


def test_what_a_call_raises_is_reported_and_the_thread_goes_on():
    errors, done = [], []
    pool = make_pool(max_workers=1, on_error=errors.append)

    def fail():
        raise SystemExit("over")

    pool.submit(fail)
    pool.submit(lambda: done.append("done"))

    assert pool.join(DEADLINE) == 0
    assert [repr(error) for error in errors] == ["SystemExit('over')"]
    assert done == ["done"]


def test_a_failing_report_costs_no_thread(monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))

    def report(_error):
        raise OSError("the log is full")

    pool, done = make_pool(max_workers=1, on_error=report), []
    for _ in range(3):
        pool.submit(lambda: 1 / 0)
    pool.submit(lambda: done.append("done"))

    assert pool.join(DEADLINE) == 0
    assert done == ["done"]
    assert shown == [OSError] * 3


def test_where_no_thread_can_be_started_submit_raises_and_keeps_nothing(monkeypatch):
    pool, done = make_pool(), []
    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", fail_to_start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(lambda: done.append("refused"))
    assert pool.join(0) == 0

    pool.submit(lambda: done.append("accepted"))
    assert pool.join(DEADLINE) == 0
    assert done == ["accepted"]


def test_where_no_further_thread_can_be_started_those_that_live_do_the_work(monkeypatch):
    pool, gate, done = make_pool(), threading.Event(), []
    pool.submit(lambda: gate.wait(DEADLINE))
    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", fail_to_start)
        for number in range(5):
            pool.submit(lambda number=number: done.append(number), delay=0.001 * (5 - number))
        gate.set()

        assert pool.join(DEADLINE) == 0
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_is_own_thread_tells_the_pools_threads_from_all_others():
    pool, other, told = make_pool(), make_pool(), []
    pool.submit(lambda: told.append((pool.is_own_thread(), other.is_own_thread())))

    pool.join(DEADLINE)
    assert told == [(True, False)]
    assert not pool.is_own_thread()


def test_a_pool_that_is_forgotten_is_freed():
    pool = make_pool()
    pool.submit(lambda: None)
    pool.join(DEADLINE)
    for thread in threads_of(pool):
        thread.join(DEADLINE)

    reference = weakref.ref(pool)
    del pool
    gc.collect()
    assert reference() is None


def test_a_delay_longer_than_a_lock_can_wait_harms_no_other_call():
    run_script(
        """
        import os
        from triggers_threading.pool import ThreadPool

        pool, done = ThreadPool(1, "pool", on_error=print), []
        pool.submit(print, delay=1e300)
        for number in range(3):
            pool.submit(lambda: done.append(1))
        while len(done) < 3:
            pool.join(0.01)
        os._exit(0)  # the call due in 1e292 years would keep the process
        """
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forks_child_starts_empty_and_can_use_the_pool():
    output = run_script(
        """
        import os, threading
        from triggers_threading.pool import ThreadPool

        pool, gate = ThreadPool(1, "pool", on_error=print), threading.Event()
        pool.submit(gate.wait)
        pool.submit(lambda: print("parent's", flush=True))
        pool._changed.acquire()  # as when another thread is in the middle of submit
        child = os.fork()
        if child == 0:
            assert pool.join(0) == 0
            pool.submit(lambda: print("child's", flush=True))
            assert pool.join() == 0
            os._exit(0)
        pool._changed.release()
        assert os.waitpid(child, 0)[1] == 0
        gate.set()
        """
    )
    assert output == "child's\nparent's\n"


def run_script(source):
    """Run it in another process, without warnings about what the script does on purpose."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(source)],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
