"""One trace across processes: fired here, run by a real Celery worker, in whose tasks it goes on.

The broker is a folder, so that no server is needed; the worker writes its spans to a file.
"""

import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from opentelemetry import trace

from triggers_celery import CeleryTaskRunner
from triggers_core import Plugins, SqliteStorage, Status, TriggerManager

APP_FOLDER = Path(__file__).parent / "app"
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.02
CONFIGURATION = {
    "ship": {"after": ["paid"], "run": "traced.ship"},
    "tell": {"after": ["ship"], "run": "traced.tell"},
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traced")
    for name in ("messages", "control"):
        (folder / name).mkdir()
    settings = {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            # A cooldown that is longer than half of it goes from message to message.
            "visibility_timeout": 2,
        },
        "worker_enable_remote_control": False,
    }
    return {
        "TRACED_SETTINGS": json.dumps(settings),
        "TRACED_SPANS": str(folder / "spans"),
        "TRIGGERS_STORAGE": f"sqlite:///{folder / 'triggers.db'}",
    }


@pytest.fixture(scope="module")
def worker(environment, tmp_path_factory):
    """Start a worker; end it when the module's tests are over."""
    log_path = tmp_path_factory.mktemp("worker") / "log"
    ready, told_by_worker = os.pipe()
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "traced", "worker"),
                *("--pool", "prefork", "--concurrency", "1", "--loglevel", "INFO"),
                *("--without-mingle", "--without-gossip", "--without-heartbeat"),
            ],
            cwd=APP_FOLDER,
            env={**os.environ, **environment, "TRACED_READY": str(told_by_worker)},
            pass_fds=[told_by_worker],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(told_by_worker)
    with open(ready, "rb") as pipe:
        is_told = select.select([pipe], [], [], DEADLINE_SECONDS)[0] and pipe.read(5) == b"ready"
    yield log_path
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(DEADLINE_SECONDS / 2)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(DEADLINE_SECONDS)
    assert is_told, log_path.read_text()


@pytest.fixture
def manager(environment, worker, spans):
    """Give a manager in this process, whose tasks run in the worker."""
    specification = importlib.util.spec_from_file_location("traced", APP_FOLDER / "traced.py")
    traced = importlib.util.module_from_spec(specification)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACED_SETTINGS", environment["TRACED_SETTINGS"])
        specification.loader.exec_module(traced)
    plugins = Plugins()
    plugins.use_runner(CeleryTaskRunner(traced.app))
    storage = SqliteStorage(environment["TRIGGERS_STORAGE"].removeprefix("sqlite:///"))
    manager = TriggerManager("order 17", storage=storage, plugins=plugins)
    manager.update_configuration(CONFIGURATION)
    yield manager
    storage.close()
    traced.app.close()


def test_a_fire_and_all_that_follows_from_it_in_the_worker_are_one_trace(
    manager, environment, worker, spans
):
    with trace.get_tracer("app").start_as_current_span("POST /pay"):
        manager.fire("paid")

    of_worker = wait_for_spans(Path(environment["TRACED_SPANS"]), "fire tell", worker)
    here = [json.loads(span.to_json()) for span in spans()]
    assert [instance.status for instance in manager.instances()] == [
        Status.REPLAYED, Status.FINISHED, Status.FINISHED
    ]  # fmt: skip
    assert sorted(span["name"] for span in here) == ["POST /pay", "dispatch ship", "fire paid"]
    assert {span["context"]["trace_id"] for span in [*here, *of_worker]} == {
        here[0]["context"]["trace_id"]
    }
    assert path_to("fire tell", [*here, *of_worker]) == [
        "POST /pay",
        "fire paid",
        "dispatch ship",
        "run ship",
        "dispatch ship",
        "run ship",
        "fire ship",
        "dispatch tell",
        "run tell",
        "fire tell",
    ]


def wait_for_spans(path, name, log_path):
    """Return the spans in the file, once one has that name."""
    give_up = time.monotonic() + DEADLINE_SECONDS
    found = []
    while name not in [span["name"] for span in found]:
        assert time.monotonic() < give_up, f"{found}\n{log_path.read_text()}"
        time.sleep(POLL_SECONDS)
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("\n")]
    return found


def path_to(name, spans):
    """Return the names of the spans that lead to the one of that name, and its own."""
    by_id = {span["context"]["span_id"]: span for span in spans}
    (span,) = (span for span in spans if span["name"] == name)
    path = [name]
    while span["parent_id"]:
        span = by_id[span["parent_id"]]
        path.insert(0, span["name"])
    return path
