"""The Celery runner keeps the contract of every runner, with a worker on either kind of broker."""

import importlib.util
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from triggers_celery import CeleryTaskRunner
from triggers_conformance.runner import RunnerConformance
from triggers_core import Plugins

APP = Path(__file__).parent / "app" / "conformance_app.py"
STOP_SECONDS = 60.0


def load_app(settings):
    spec = importlib.util.spec_from_file_location(APP.stem, APP)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFORMANCE_SETTINGS", json.dumps(settings))
        spec.loader.exec_module(module)
    return module.app


@contextmanager
def running_worker(settings, environment, log_file):
    with log_file.open("wb") as log:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", APP.stem, "worker"),
                *("--pool", "prefork", "--concurrency", "2", "--loglevel", "INFO"),
                *("--without-mingle", "--without-gossip", "--without-heartbeat"),
            ],
            cwd=APP.parent,
            env={**os.environ, **environment, "CONFORMANCE_SETTINGS": json.dumps(settings)},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(STOP_SECONDS)


class CeleryConformance(RunnerConformance):
    runner_name = "celery"
    examples = 10

    @contextmanager
    def worker(self, folder, environment):
        self.folder = folder
        self.app = load_app(self.settings(client=True))
        with running_worker(self.settings(client=False), environment, folder / "worker.log"):
            yield
        self.app.close()

    def make_plugins(self):
        plugins = Plugins()
        plugins.use_runner(CeleryTaskRunner(self.app))
        return plugins


class TestOnRedis(CeleryConformance):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def choose_broker(cls, redis):
        cls.broker_settings = redis.settings()

    def settings(self, *, client):
        return self.broker_settings


class TestOnFileSystem(CeleryConformance):
    """The broker needs no server. The client reaches it by a link, which a check takes away."""

    @property
    def link(self):
        return self.folder / "to-messages"

    def settings(self, *, client):
        messages = self.folder / "messages"
        if not messages.exists():
            messages.mkdir()
            self.link.symlink_to(messages)
        folder = str(self.link if client else messages)
        return {
            "broker_url": "filesystem://",
            "broker_transport_options": {
                "data_folder_in": folder,
                "data_folder_out": folder,
                "control_folder": str(self.folder / "control"),
                "polling_interval": 0.02,
            },
            "task_default_queue": "conformance",
            "worker_enable_remote_control": False,
        }

    @contextmanager
    def refusing(self, runner):
        target = self.link.readlink()
        self.link.unlink()
        yield
        self.link.symlink_to(target)
