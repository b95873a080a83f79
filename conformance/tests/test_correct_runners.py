"""No false alarm: runners that keep the contract pass, whatever engine they stand on."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import dramatiq_engine
import huey_engine
import pytest
import redis
from engines import AsyncioRunner, InlineRunner, ProcessRunner, ThreadRunner

from triggers_conformance.runner import RunnerConformance
from triggers_core import Plugins

STOP_SECONDS = 30


@contextmanager
def running(command, environment):
    """Keep a worker process running until the body is left."""
    worker = subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(STOP_SECONDS)


class TestInline(RunnerConformance):
    runner_name = "inline"
    runner_class = InlineRunner


class TestThread(RunnerConformance):
    runner_name = "thread"
    runner_class = ThreadRunner


class TestAsyncio(RunnerConformance):
    runner_name = "asyncio"
    runner_class = AsyncioRunner

    @contextmanager
    def worker(self, folder, environment):
        self.runner = AsyncioRunner()
        yield
        self.runner.close()

    def make_plugins(self):
        plugins = Plugins()
        plugins.use_runner(self.runner)
        return plugins


class TestProcess(RunnerConformance):
    runner_name = "process"
    runner_class = ProcessRunner

    @contextmanager
    def worker(self, folder, environment):
        self.runner = ProcessRunner()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with self.runner.processes(2):
                yield

    def make_plugins(self):
        plugins = Plugins()
        plugins.use_runner(self.runner)
        return plugins


class TestHuey(RunnerConformance):
    runner_name = "huey"
    runner_class = huey_engine.HueyRunner
    examples = 10

    @contextmanager
    def worker(self, folder, environment):
        options = ["--workers=2", "--delay=0.01", "--max-delay=0.05", "--no-periodic"]
        with running(["huey.bin.huey_consumer", "huey_engine.queue", *options], environment):
            yield
        shutil.rmtree(Path(os.environ["HUEY_FILE"]).parent)


@pytest.fixture(scope="module")
def redis_server():
    """Redis, or a skip; with CI set, it must be there."""
    with redis.Redis.from_url(dramatiq_engine.REDIS_URL) as server:
        try:
            server.ping()
        except redis.ConnectionError as error:
            message = f"no Redis answers; start one at {dramatiq_engine.REDIS_URL}"
            if os.environ.get("CI") == "true":
                pytest.fail(f"{message}: {error}")
            pytest.skip(message)
        yield
        for key in server.scan_iter(f"{dramatiq_engine.NAMESPACE}*"):
            server.delete(key)


@pytest.mark.usefixtures("redis_server")
class TestDramatiq(RunnerConformance):
    runner_name = "dramatiq"
    runner_class = dramatiq_engine.DramatiqRunner
    examples = 10

    @contextmanager
    def worker(self, folder, environment):
        command = ["dramatiq", "dramatiq_engine:broker", "--processes=1", "--threads=4"]
        with running(command, environment):
            yield
